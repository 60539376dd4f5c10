// The four steps of a swap.
import { call, pause, poll } from "./api.js";
import { announce, checkbox, clearErrors, field, find, focusOn, h, selectOf, setError } from "./dom.js";
import { DEFAULT, LEAVE, letter, requestListing, showListing } from "./listing.js";
import { showOutcome } from "./outcome.js";
import { Picker } from "./picker.js";
import { FACE_TYPES, MEME_TYPES, keep, nameInRequest, restore } from "./pictures.js";
import { hideProgress, showProgress } from "./progress.js";
import { save, state } from "./session.js";
import { t } from "./texts.js";

const FACES = [["Ruby", "ruby.jpg"], ["Walter", "walter.jpg"], ["Noor", "noor.jpg"], ["Ivy", "ivy.jpg"]];
const MEMES = [["It works on my machine", "works-on-my-machine.jpg"], ["Deploy on Friday", "friday.jpg"],
  ["You are on mute", "on-mute.jpg"], ["Running late (moves)", "moving.gif", "moving.jpg"]];
const MAX_SOURCES = 9; // `face`, and eight with a source of their own
const sample = ([name, file, thumb]) => ({ name, file, thumb });

export class SwapPanel {
  constructor(pack) {
    this.pack = pack;
    this.kept = state.swap;
    this.work = new AbortController(); // of the meme that is looked at, or the swap that is made
    this.sources = [];
    this.meme = new Picker({ name: "meme", label: t("meme"), types: MEME_TYPES, samples: pack.drawn ? MEMES.map(sample) : [],
      onChange: () => this.changeMeme() });
    find("meme").replaceChildren(this.meme.root);
    find("faces").replaceChildren();
    find("add-face").addEventListener("click", () => this.addSource().root.querySelector("input")?.focus());
    this.drawForm();
  }

  // Draw what the tab kept, and go on with what was running.
  async start() {
    const kept = this.kept;
    this.meme.set(restore(kept.meme) || null);
    for (const face of kept.faces?.length ? kept.faces : [null]) this.addSource(restore(face));
    this.refresh();
    if (kept.job) await this.follow(kept.job);
    else if (kept.key && this.meme.picture) await this.submit();
    else if (this.meme.picture) await this.look();
  }

  addSource(picture = null) {
    const source = new Picker({ name: `face-${this.sources.length}`, label: t("face", { letter: letter(this.sources.length) }),
      types: FACE_TYPES, shrink: true, samples: this.pack.drawn ? FACES.map(sample) : [], onChange: () => this.changeSources(),
      onRemove: this.sources.length ? (each) => this.removeSource(each) : null });
    this.sources.push(source);
    find("faces").append(source.root);
    if (picture) source.set(picture);
    this.refresh();
    return source;
  }

  removeSource(source) {
    const pictures = this.sources.filter((each) => each !== source).map((each) => each.picture);
    for (const each of this.sources.splice(0)) each.remove();
    for (const picture of pictures) this.addSource(picture);
    this.changeSources();
    find("add-face").focus();
  }

  refresh() {
    const full = this.sources.length >= MAX_SOURCES;
    find("add-face").hidden = full || !this.sources.at(-1)?.picture;
    find("choose").hidden = !this.meme.picture;
    find("make").hidden = !this.meme.picture;
  }

  remember() {
    Object.assign(this.kept, { meme: keep(this.meme.picture), faces: this.sources.map((each) => keep(each.picture)).filter(Boolean) });
    save();
  }

  async changeMeme() {
    this.stop();
    Object.assign(this.kept, { listing: null, listingJob: null, choices: {}, key: null, job: null });
    this.hideResult();
    this.refresh();
    this.remember();
    if (this.meme.picture) await this.look();
  }

  changeSources() {
    Object.assign(this.kept, { key: null, job: null });
    this.refresh();
    this.remember();
    this.drawListing();
  }

  stop() {
    this.work.abort();
    this.work = new AbortController();
    hideProgress(find("swap-progress"));
    this.button.hidden = false;
  }

  // Find the faces of the meme.
  async look() {
    const root = find("listing"), { signal } = this.work, kept = this.kept;
    try {
      if (!kept.listing) {
        const place = h("div", { role: "status" }, h("p", { class: "stage" }, t("listing.looking")));
        root.replaceChildren(place);
        const uri = await nameInRequest(this.meme.picture, (share) => showProgress(place, { status: "uploading", progress: share }), signal);
        this.remember();
        kept.listing = await requestListing(this.meme.picture, uri, { id: kept.listingJob, root: place, signal,
          onJob: (id) => { kept.listingJob = id; save(); } });
        if (kept.listing.preview) { this.meme.picture.preview = this.meme.picture.thumb = kept.listing.preview; this.meme.draw(); }
        kept.choices = Object.fromEntries(kept.listing.faces.filter((face) => face.swappable !== false).map((face) => [face.index, "0"]));
        kept.listingJob = null;
        this.remember();
      }
      this.drawListing();
      announce(root.querySelector(".hint")?.textContent || "");
    } catch (error) {
      if (signal.aborted) return;
      root.replaceChildren();
      kept.listingJob = null;
      save();
      this.meme.setError(this.explain(error));
      root.append(h("button", { onclick: () => { this.meme.setError(""); this.look(); } }, t("again")));
    }
  }

  drawListing() {
    const { listing, choices } = this.kept;
    if (!listing || !this.meme.picture) return;
    const sources = this.sources.map((each, number) => ({ name: each.picture?.name || t("face.missing"), number }));
    for (const index of Object.keys(choices)) {
      if (choices[index] !== LEAVE && choices[index] !== DEFAULT && Number(choices[index]) >= sources.length) choices[index] = "0";
    }
    showListing(find("listing"), { meme: this.meme.picture, listing, sources, hasDefault: this.pack.has_default_face, choices,
      onChoice: (index, value) => { choices[index] = value; this.kept.key = null; save(); } });
    if (!listing.faces.length) find("listing").append(this.hintOfPack());
  }

  hintOfPack() {
    return this.pack.drawn ? h("p", { class: "notice" }, t("pack.drawn.meme")) : "";
  }

  drawForm() {
    const kept = this.kept;
    this.consent = selectOf([["", t("consent.choose")], ["own", t("consent.own")], ["agreed", t("consent.agreed")], ["drawn", t("consent.drawn")], ["other", t("consent.other")]], kept.consent || "");
    this.reason = h("input", { type: "text", maxLength: 200, value: kept.reason || "", autocomplete: "off" });
    const reason = field("reason", this.reason, { label: t("consent.reason"), hint: t("consent.reason.hint") });
    const follow = () => { reason.hidden = this.consent.value !== "other"; Object.assign(kept, { consent: this.consent.value, reason: this.reason.value, key: null }); save(); };
    this.consent.addEventListener("change", follow);
    this.reason.addEventListener("change", follow);
    reason.hidden = kept.consent !== "other";
    this.badge = checkbox("badge", t("badge"), Boolean(kept.badge), t("badge.hint"));
    this.badge.querySelector("input").addEventListener("change", (event) => { Object.assign(kept, { badge: event.target.checked, key: null }); save(); });
    this.button = h("button", { class: "primary large", onclick: () => this.submit() }, t("swap"));
    this.problem = h("p", { class: "error", role: "alert" });
    find("make-form").replaceChildren(
      field("consent", this.consent, { label: t("consent"), hint: t("consent.hint") }), reason,
      h("details", { class: "more" }, h("summary", {}, t("options")), this.badge), this.button, this.problem);
  }

  // Say what is missing beside its field; true where nothing is.
  check() {
    clearErrors(find("panel-swap"));
    const chosen = Object.values(this.kept.choices || {}).filter((each) => each !== LEAVE);
    const missing = [...new Set(chosen)].filter((each) => each !== DEFAULT).map(Number).filter((number) => !this.sources[number].picture);
    for (const number of missing) this.sources[number].setError(t("error.no_face_chosen"));
    if (!chosen.length) this.problem.textContent = t("error.nothing_chosen");
    if (!this.consent.value) setError(find("make-form"), "consent", t("error.consent"));
    const wrong = missing.length ? this.sources[missing[0]].root.querySelector("input") : !this.consent.value ? this.consent : null;
    if (wrong) focusOn(wrong);
    return !wrong && chosen.length > 0;
  }

  // The request: the face that most get is `face`, each other one is given to its faces alone.
  async describe(signal) {
    const { choices, consent, reason, badge } = this.kept;
    const chosen = Object.entries(choices).filter(([, source]) => source !== LEAVE);
    const counts = {};
    for (const [, source] of chosen) counts[source] = (counts[source] || 0) + 1;
    const base = counts[DEFAULT] ? DEFAULT : Object.keys(counts).sort((a, b) => counts[b] - counts[a])[0];
    const names = {};
    for (const source of Object.keys(counts)) {
      if (source !== DEFAULT) names[source] = await nameInRequest(this.sources[source].picture, undefined, signal);
    }
    this.remember();
    return {
      meme: await nameInRequest(this.meme.picture, undefined, signal),
      ...(base === DEFAULT ? {} : { face: names[base] }),
      faces: chosen.map(([index, source]) => (source === base ? Number(index) : { index: Number(index), face: names[source] })),
      consent: consent === "other" ? reason || t("consent.other") : t(`consent.${consent}`),
      ...(badge ? { badge: true } : {}),
    };
  }

  async submit() {
    if (!this.check()) return;
    const { signal } = this.work, kept = this.kept;
    this.hideResult();
    this.problem.textContent = "";
    this.button.hidden = true;
    const progress = find("swap-progress");
    showProgress(progress, { status: "sending" });
    progress.append(h("button", { class: "quiet", onclick: () => this.cancel() }, t("cancel")));
    try {
      const body = await this.describe(signal);
      kept.key ||= crypto.randomUUID();
      save();
      kept.job = await this.send(body, signal);
      save();
      await this.follow(kept.job);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  // Send the request until it is known to have arrived: the same key is the same swap.
  async send(body, signal) {
    for (let failures = 0; ; failures += 1) {
      try {
        const { json } = await call("POST", "/swap", { body, signal, headers: { prefer: "respond-async", "idempotency-key": this.kept.key } });
        return json.id;
      } catch (error) {
        if (!error.retryable || failures >= 5) throw error;
        await pause(error.retryAfter || 2 ** failures, signal);
      }
    }
  }

  async follow(id) {
    const { signal } = this.work, progress = find("swap-progress");
    this.button.hidden = true;
    if (!progress.querySelector("button")) {
      showProgress(progress, { status: "queued" });
      progress.append(h("button", { class: "quiet", onclick: () => this.cancel() }, t("cancel")));
    }
    try {
      const job = await poll(`/swap/${id}`, { isOver: (job) => ["succeeded", "failed"].includes(job.status), signal,
        onStep: (job) => showProgress(progress, job), onTrouble: (offline) => (find("offline").hidden = !offline) });
      if (job.problem) throw Object.assign(new Error(job.problem.detail), { ...job.problem, errors: job.problem.errors || [] });
      this.finish(id, job.result);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  finish(id, result) {
    hideProgress(find("swap-progress"));
    this.button.hidden = false;
    find("result").hidden = false;
    showOutcome(find("swap-result"), { id, result, original: this.meme.picture,
      onAgain: () => this.again(), onDeleted: () => { this.hideResult(); this.forget(); focusOn(find("step-1")); } });
    focusOn(find("step-4"));
    announce(t("result.ready"));
  }

  fail(error) {
    hideProgress(find("swap-progress"));
    this.button.hidden = false;
    Object.assign(this.kept, { key: null, job: null });
    save();
    const places = this.placesOf(error);
    for (const picker of places) picker.setError(this.explain(error));
    if (!places.length && !(error.errors?.[0] && setError(find("make-form"), error.errors[0].field, error.errors[0].message))) {
      this.problem.textContent = this.explain(error);
    }
    if (places.length) places[0].root.scrollIntoView({ block: "nearest" });
    else this.button.focus({ preventScroll: true });
  }

  // The pickers that an error is about, by the place in the request that it names, or by its kind.
  placesOf(error) {
    const base = Number(Object.values(this.kept.choices || {}).find((each) => each !== LEAVE && each !== DEFAULT) || 0);
    const place = (pointer) => {
      if (/^\/?meme/.test(pointer)) return this.meme;
      const face = /^\/faces\/(\d+)/.exec(pointer);
      if (face) return this.sources[Number(Object.values(this.kept.choices).filter((each) => each !== LEAVE)[face[1]])];
      return /^\/?face/.test(pointer) ? this.sources[base] : null;
    };
    const named = (error.errors || []).map((each) => place(each.pointer || each.field)).filter(Boolean);
    if (named.length) return [...new Set(named)];
    return { no_face_in_meme: [this.meme], no_face_in_source: [this.sources[base]] }[error.code] || [];
  }

  explain(error) {
    const drawn = this.pack.drawn && /^no_face/.test(error.code || "");
    return drawn ? `${error.message} ${t("pack.drawn.try")}` : error.message;
  }

  async cancel() {
    const { job } = this.kept;
    this.stop();
    this.forget();
    announce(t("cancelled"));
    this.button.focus();
    if (job) await call("DELETE", `/results/${job}`).catch(() => {});
  }

  forget() {
    Object.assign(this.kept, { key: null, job: null });
    save();
  }

  hideResult() {
    find("result").hidden = true;
    find("swap-result").replaceChildren();
  }

  // The same meme with another face.
  again() {
    this.hideResult();
    this.forget();
    this.sources[0].clear();
    focusOn(this.sources[0].root.querySelector("input"));
    return "";
  }
}
