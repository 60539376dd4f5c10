// The four steps of a swap.
import { alertLine, announce, button, checkbox, clearErrors, field, find, focusOn, h, selectOf, setError } from "./dom.js";
import { DEFAULT, LEAVE, letter, requestListing, showListing } from "./listing.js";
import { showSwap } from "./outcome.js";
import { Picker } from "./picker.js";
import { FACE_TYPES, MEME_TYPES, keep, nameInRequest, restore } from "./pictures.js";
import { save, state } from "./session.js";
import { t } from "./texts.js";
import { Work, showProgress } from "./work.js";

const sample = ([name, file, thumb]) => ({ name, file, thumb });
const FACES = [["Ruby", "ruby.jpg"], ["Walter", "walter.jpg"], ["Noor", "noor.jpg"], ["Ivy", "ivy.jpg"]].map(sample);
const MEMES = [["It works on my machine", "works-on-my-machine.jpg"], ["Deploy on Friday", "friday.jpg"],
  ["You are on mute", "on-mute.jpg"], ["Running late (moves)", "moving.gif", "moving.jpg"]].map(sample);
const MAX_SOURCES = 9; // `face`, and eight with a source of their own

export class SwapPanel {
  constructor(pack) {
    this.pack = pack;
    this.kept = state.swap;
    this.sources = [];
    this.meme = new Picker({ name: "meme", label: t("meme"), types: MEME_TYPES, samples: pack.drawn ? MEMES : [], onChange: () => this.changeMeme() });
    find("meme").replaceChildren(this.meme.root);
    find("add-face").addEventListener("click", () => this.addSource().root.querySelector("input").focus());
    this.drawForm();
    this.work = new Work({ kept: this.kept, root: find("swap-progress"), button: this.button, path: (id) => `/swap/${id}`,
      deletePath: (id) => `/results/${id}`, onCancelled: () => { this.hideResult(); this.work.forget(); } });
  }

  // Draw what the tab kept, and go on with what was running.
  async start() {
    const { kept } = this;
    this.meme.set(restore(kept.meme) || null);
    for (const face of kept.faces?.length ? kept.faces : [null]) this.addSource(restore(face));
    if (kept.listing || !this.meme.picture) this.drawListing();
    else await this.look();
    if (kept.job || (kept.key && this.meme.picture && this.check())) await this.run();
  }

  addSource(picture = null) {
    const number = this.sources.length;
    const source = new Picker({ name: `face-${number}`, label: t("face", { letter: letter(number) }), types: FACE_TYPES,
      samples: this.pack.drawn ? FACES : [], onChange: () => this.changeSources(), onRemove: number ? () => this.removeSource(source) : null });
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
    find("add-face").hidden = this.sources.length >= MAX_SOURCES || !this.sources.at(-1)?.picture;
    find("choose").hidden = !this.meme.picture;
    find("make").hidden = !this.kept.job && !this.kept.listing?.faces.some((face) => face.swappable !== false);
  }

  remember() {
    Object.assign(this.kept, { meme: keep(this.meme.picture), faces: this.sources.map((each) => keep(each.picture)).filter(Boolean) });
    save();
  }

  // What was asked for is no longer what is chosen.
  change(values = {}) {
    Object.assign(this.kept, values, { key: null });
    save();
  }

  async changeMeme() {
    this.work.stop();
    this.hideResult();
    this.change({ listing: null, listingJob: null, choices: {} });
    this.refresh();
    this.remember();
    if (this.meme.picture) await this.look();
  }

  changeSources() {
    const pictures = this.sources.map((each) => each.picture).filter(Boolean);
    const drawn = pictures.length && pictures.every((each) => each.origin === "sample");
    // Samples are drawn; what comes after them may not be.
    if (drawn ? !this.kept.consent : this.kept.consent === "drawn") this.consent.value = this.kept.consent = drawn ? "drawn" : "";
    this.change();
    this.refresh();
    this.remember();
    this.drawListing();
  }

  async look() {
    const { kept, work: { signal } } = this, root = find("listing"), place = h("div", {}, h("p", { class: "stage" }, t("listing.looking")));
    root.replaceChildren(place);
    try {
      const uri = await nameInRequest(this.meme.picture, (share) => showProgress(place, { status: "uploading", progress: share }), signal);
      this.remember();
      const listing = kept.listing = await requestListing(this.meme.picture, uri, { id: kept.listingJob, root: place, signal,
        onJob: (id) => { kept.listingJob = id; save(); } });
      if (listing.preview) Object.assign(this.meme.picture, { preview: listing.preview, thumb: listing.preview });
      if (listing.preview) this.meme.draw();
      kept.choices = Object.fromEntries(listing.faces.filter((face) => face.swappable !== false).map((face) => [face.index, "0"]));
      this.remember();
      this.drawListing();
      announce(root.querySelector(".hint").textContent);
    } catch (error) {
      if (signal.aborted) return;
      root.replaceChildren(button(t("again"), () => { this.meme.setError(""); this.look(); }));
      kept.listingJob = null;
      save();
      this.meme.setError(this.explain(error));
    }
  }

  drawListing() {
    const { listing, choices } = this.kept;
    this.refresh();
    if (!listing || !this.meme.picture) return;
    const sources = this.sources.map((each) => each.picture?.name || t("face.missing"));
    for (const [index, source] of Object.entries(choices)) if (Number(source) >= sources.length) choices[index] = "0";
    showListing(find("listing"), { meme: this.meme.picture, listing, sources, hasDefault: this.pack.has_default_face, choices,
      onChoice: (index, value) => { choices[index] = value; this.change(); } });
    if (!listing.faces.length && this.pack.drawn) find("listing").append(h("p", { class: "notice" }, t("pack.drawn.meme")));
  }

  drawForm() {
    const { kept } = this;
    this.consent = selectOf(["", "own", "agreed", "drawn", "other"].map((each) => [each, t(`consent.${each || "choose"}`)]), kept.consent || "");
    this.reason = h("input", { type: "text", maxLength: 200, value: kept.reason || "", autocomplete: "off" });
    const reason = field("reason", this.reason, { label: t("consent.reason"), hint: t("consent.reason.hint") });
    const badge = checkbox("badge", t("badge"), Boolean(kept.badge), t("badge.hint"));
    const form = find("make-form");
    const follow = () => {
      reason.hidden = this.consent.value !== "other";
      this.change({ consent: this.consent.value, reason: this.reason.value, badge: badge.querySelector("input").checked });
    };
    form.addEventListener("change", follow);
    reason.hidden = kept.consent !== "other";
    this.button = button(t("swap"), () => this.submit(), { class: "primary large" });
    this.problem = alertLine();
    form.replaceChildren(field("consent", this.consent, { label: t("consent"), hint: t("consent.hint") }), reason,
      h("details", { class: "more" }, h("summary", {}, t("options")), badge), this.button, this.problem);
  }

  get chosen() {
    return Object.entries(this.kept.choices || {}).filter(([, source]) => source !== LEAVE);
  }

  check() {
    clearErrors(find("panel-swap"));
    const empty = [...new Set(this.chosen.map(([, source]) => source))].map((source) => this.sources[source]).filter((each) => each && !each.picture);
    for (const each of empty) each.setError(t("error.no_face_chosen"));
    if (!this.chosen.length) this.problem.textContent = t("error.nothing_chosen");
    if (!this.consent.value) setError(find("make-form"), "consent", t("error.consent"));
    const wrong = empty[0]?.root.querySelector("input") || (this.consent.value ? null : this.consent);
    if (wrong) focusOn(wrong);
    return !wrong && this.chosen.length > 0;
  }

  // The request: the face that most get is `face`, each other one is given to its faces alone.
  async describe(signal) {
    const { consent, reason, badge } = this.kept, counts = {}, names = {};
    for (const [, source] of this.chosen) counts[source] = (counts[source] || 0) + 1;
    const base = counts[DEFAULT] ? DEFAULT : Object.keys(counts).sort((a, b) => counts[b] - counts[a])[0];
    for (const source of Object.keys(counts)) if (source !== DEFAULT) names[source] = await nameInRequest(this.sources[source].picture, undefined, signal);
    const meme = await nameInRequest(this.meme.picture, undefined, signal);
    this.remember();
    return {
      meme, face: names[base],
      faces: this.chosen.map(([index, source]) => (source === base ? Number(index) : { index: Number(index), face: names[source] })),
      consent: (consent === "other" && reason) || t(`consent.${consent}`),
      badge: badge || undefined,
    };
  }

  submit() {
    if (!this.check()) return;
    this.kept.job = null;
    return this.run();
  }

  async run() {
    const { signal } = this.work;
    this.hideResult();
    try {
      const job = await this.work.run("/swap", (signal) => this.describe(signal), { prefer: "respond-async" });
      this.finish(this.kept.job, job.result);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  finish(id, result) {
    find("result").hidden = false;
    showSwap(find("swap-result"), { id, result, original: this.meme.picture, onAgain: async () => this.again(),
      onDeleted: () => { this.work.onCancelled(); focusOn(find("step-1")); } });
    focusOn(find("step-4"));
    announce(t("result.ready"));
  }

  fail(error) {
    this.work.forget();
    const pickers = this.placesOf(error), named = error.errors?.[0];
    for (const picker of pickers) picker.setError(this.explain(error));
    if (pickers.length) pickers[0].root.scrollIntoView({ block: "nearest" });
    else if (!(named && setError(find("make-form"), named.field, named.message))) this.problem.textContent = this.explain(error);
  }

  // The pickers that an error is about, by the places in the request that it names, or by its kind.
  placesOf(error) {
    const base = this.sources[this.chosen.find(([, source]) => source !== DEFAULT)?.[1] || 0];
    const place = (pointer) => {
      const face = /^\/faces\/(\d+)/.exec(pointer);
      if (face) return this.sources[this.chosen[face[1]]?.[1]];
      return pointer.startsWith("/meme") ? this.meme : pointer.startsWith("/face") ? base : null;
    };
    const pickers = (error.errors || []).map((each) => place(each.pointer || `/${each.field}`)).filter(Boolean);
    const ofKind = { no_face_in_meme: this.meme, no_face_in_source: base }[error.code];
    return pickers.length ? [...new Set(pickers)] : ofKind ? [ofKind] : [];
  }

  explain(error) {
    const { drawn, hint } = this.pack; // the hint is for operators, whose commands stand above
    return drawn && error.code?.startsWith("no_face") ? `${error.message.replace(hint, "")} ${t("pack.drawn.try")}` : error.message;
  }

  hideResult() {
    this.problem.textContent = "";
    find("result").hidden = true;
    find("swap-result").replaceChildren();
  }

  again() {
    this.work.onCancelled();
    this.sources[0].clear();
    focusOn(this.sources[0].root.querySelector("input"));
  }
}
