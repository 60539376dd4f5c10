// A short video: what it says and shows, its plan without spending, how far it is, and the video.
import { call, upload } from "./api.js";
import { alertLine, announce, button, checkbox, clearErrors, field, find, focusOn, h, hint, row, selectOf, setError } from "./dom.js";
import { drawActions, shareLink } from "./outcome.js";
import { save, state } from "./session.js";
import { t } from "./texts.js";
import { Work } from "./work.js";

// What problems without fields are about.
const PLACES = { script_too_long: "script_text", unsupported_script: "script_text", no_footage: "search_query", provider_refused: "voice" };
const SOUNDS = "audio/mpeg,audio/mp4,audio/x-m4a,audio/wav,audio/flac";

export class ShortPanel {
  // `fields` are properties of the request's schema: what the stack does not know is not asked for.
  constructor(fields) {
    this.fields = fields;
    this.kept = state.short;
    this.form = this.kept.form ||= { mode: "script", scenes: [{}] };
    this.place = h("div", { class: "card step" });
    this.plan = h("div");
    this.outcome = h("section", { class: "card step", hidden: true, "aria-labelledby": "short-title" });
    find("panel-short").replaceChildren(this.place, this.outcome);
    const root = h("div", { class: "working", hidden: true });
    this.draw(root);
    this.work = new Work({ kept: this.kept, root, button: this.buttons, path: (id) => `/task/${id}`, deletePath: (id) => `/task/${id}`,
      onCancelled: () => this.end() });
  }

  async start() {
    if (this.kept.key || this.kept.job) await this.run();
  }

  // What of a property's schema `pick` finds, also behind references and alternatives.
  look(property, pick) {
    if (!property) return null;
    const inner = [property.$ref && this.fields.$schema(property), ...(property.anyOf || []), ...(property.oneOf || [])];
    return pick(property) || inner.map((each) => this.look(each, pick)).find(Boolean);
  }

  text(name, label, hint = "", { tag = "input", target = this.form, key = name } = {}) {
    const control = h(tag, { id: `short-${name}`, autocomplete: "off", maxLength: tag === "input" ? 2000 : 5000,
      oninput: () => { target[key] = control.value; this.change(); } });
    control.value = target[key] || "";
    return field(name, control, { label: t(label), hint: hint && t(hint) });
  }

  // A choice; the words of its options are texts that begin with `prefix`.
  select(name, values, prefix = name) {
    const control = selectOf(values.map((each) => [each, t(`${prefix}.${each}`)]), this.form[name] ?? values[0]);
    control.addEventListener("change", () => { this.form[name] = control.value; this.change(); this.follow(); });
    return field(name, control, { label: t(`short.${name}`) });
  }

  when(name, value, ...children) {
    return h("div", { class: "stackup", "data-when": `${name}=${value}` }, children);
  }

  sound(name) {
    const status = h("p", { class: "hint", role: "status" }, this.form[`${name}_name`] || "");
    const control = h("input", { type: "file", accept: SOUNDS, onchange: async () => {
      const [file] = control.files;
      if (!file) return;
      try {
        this.form[`${name}_uri`] = await upload(file, (share) => (status.textContent = t("progress.share", { percent: Math.round(100 * share) })));
        status.textContent = this.form[`${name}_name`] = file.name;
        this.change();
      } catch (error) {
        setError(this.place, `${name}.uri`, error.message);
      }
    } });
    return this.when(name, "file", field(`${name}.uri`, control, { label: t(`${name}.file.label`) }), status);
  }

  draw(progress) {
    const { fields } = this, enumOf = (schema) => this.look(schema, (node) => node.enum);
    const known = (name, ...parts) => (name in fields ? parts : []);
    const looks = enumOf(this.look(fields.captions, (node) => node.properties?.look)) || ["on"];
    const voiceId = this.text("voice_id", "voice.id.label", "voice.id.hint");
    const badge = checkbox("badge", t("badge"), Boolean(this.form.badge));
    badge.addEventListener("change", ({ target }) => { this.form.badge = target.checked; this.change(); });
    this.buttons = row(button(t("short.make"), () => this.make(), { class: "primary large" }),
      button(t("short.plan"), ({ currentTarget }) => this.showPlan(currentTarget), { class: "" }));
    this.problem = alertLine();
    this.scenes = this.when("mode", "scenes");
    this.place.replaceChildren(h("h2", { id: "short-form", tabindex: "-1" }, t("short.title")),
      ...known("scenes", this.select("mode", ["script", "scenes"]), this.scenes),
      this.when("mode", "script", this.text("script_text", "short.script", "short.script.hint", { tag: "textarea" }),
        this.text("search_query", "short.query", "scenes" in fields ? "short.query.may" : "short.query.must"),
        button(t("short.example"), () => this.fill())),
      h("div", { class: "grid" }, this.select("look", [...looks, "off"]), known("aspect", this.select("aspect", enumOf(fields.aspect) || [])),
        "voice" in fields ? [this.select("voice", ["stack", "id", "file"]), this.when("voice", "id", voiceId), this.sound("voice")] : voiceId,
        known("music", this.select("music", ["none", "file", "name"]), this.sound("music"), this.when("music", "name", this.text("music.name", "music.name.label")))),
      h("details", { class: "more" }, h("summary", {}, t("options")), h("div", { class: "grid" },
        known("resolution", this.select("resolution", enumOf(fields.resolution) || [])),
        known("quality", this.select("quality", ["standard", "draft", "high"])), badge)),
      this.buttons, this.problem, progress, this.plan);
    this.drawScenes();
    this.follow();
  }

  drawScenes() {
    const { scenes } = this.form, change = () => { this.change(); this.drawScenes(); };
    this.scenes.replaceChildren(...scenes.map((target, number) => h("fieldset", {}, h("legend", {}, t("scene", { number: number + 1 })),
      this.text(`scenes[${number}].text`, "scene.text", "", { tag: "textarea", target, key: "text" }),
      this.text(`scenes[${number}].search_query`, "scene.query", "short.query.may", { target, key: "search_query" }),
      this.text(`scenes[${number}].clip`, "scene.clip", "scene.clip.hint", { target, key: "clip" }),
      scenes.length > 1 ? button(t("scene.remove", { number: number + 1 }), () => { scenes.splice(number, 1); change(); }) : "")),
    button(t("scene.add"), () => { scenes.push({}); change(); find(`short-scenes[${scenes.length - 1}].text`).focus(); }));
  }

  follow() {
    for (const part of this.place.querySelectorAll("[data-when]")) {
      const [name, value] = part.dataset.when.split("=");
      part.hidden = this.form[name] !== value;
    }
  }

  // What was asked for is no longer what the form says.
  change() {
    this.kept.key = null;
    save();
  }

  fill() {
    for (const name of ["script_text", "search_query"]) find(`short-${name}`).value = this.form[name] = t(`example.${name}`);
    this.change();
  }

  // The request; JSON leaves out what is undefined.
  describe() {
    const { form, fields } = this, known = (name) => (name in fields && form[name]) || undefined;
    const scenes = form.scenes.map((scene) => Object.fromEntries(Object.entries(scene).filter(([, value]) => value)));
    return {
      ...(known("scenes") && form.mode === "scenes" ? { scenes } : { script_text: form.script_text || "", search_query: form.search_query || undefined }),
      captions: form.look === "off" ? false : form.look && form.look !== "on" ? { look: form.look } : undefined,
      voice: form.voice === "file" ? { uri: form.voice_uri || "" } : undefined,
      voice_id: form.voice === "id" || !("voice" in fields) ? form.voice_id || undefined : undefined,
      music: form.music === "file" ? { uri: form.music_uri || "" } : form.music === "name" ? { name: form["music.name"] || "" } : undefined,
      aspect: known("aspect"), resolution: known("resolution"), quality: known("quality"), badge: form.badge || undefined,
    };
  }

  clear() {
    clearErrors(this.place);
    this.plan.replaceChildren();
    this.outcome.hidden = true;
  }

  async showPlan(button) {
    this.clear();
    button.disabled = true;
    this.plan.append(h("p", { class: "stage", role: "status" }, t("plan.working")));
    try {
      const { json } = await call("POST", "/generate-video", { body: { ...this.describe(), dry_run: true } });
      this.plan.replaceChildren(...drawPlan(json));
      announce(t("plan.ready"));
    } catch (error) {
      this.plan.replaceChildren();
      this.fail(error);
    }
    button.disabled = false;
  }

  make() {
    this.clear();
    this.kept.job = null;
    return this.run();
  }

  async run() {
    const { signal } = this.work;
    try {
      const task = await this.work.run("/generate-video", async () => this.describe());
      if (task.status === "cancelled") return this.end();
      const root = h("div", { class: "stackup" });
      this.outcome.replaceChildren(h("h2", { id: "short-title", tabindex: "-1" }, t("short.result")), root);
      await showVideo(root, task, () => { this.end(); focusOn(find("short-form")); });
      this.outcome.hidden = false;
      focusOn(find("short-title"));
      announce(t("short.ready"));
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  fail(error) {
    this.work.forget();
    const errors = error.errors?.length ? error.errors : [{ field: PLACES[error.code] || "", message: error.message }];
    const placed = errors.filter(({ field, message }) => setError(this.place, field, message) || setError(this.place, field.split(/[.[]/)[0], message));
    if (placed.length) focusOn(this.place.querySelector('[aria-invalid="true"]'));
    else this.problem.textContent = error.message;
  }

  end() {
    this.work.forget();
    this.clear();
  }
}

function drawPlan(plan) {
  const rows = plan.segments.map((each) => h("tr", {}, h("td", {}, t("face.time", { start: each.start.toFixed(1), end: (each.start + each.seconds).toFixed(1) })),
    h("td", {}, each.query || t("plan.own"), each.text ? hint(each.text) : ""), h("td", {}, link(each.footage_url, each.photographer || each.source))));
  return [h("h3", {}, t("plan.title")),
    h("p", {}, `${t("plan.price", plan)} ${plan.voice_usd ? t("plan.usd", { usd: plan.voice_usd.toFixed(3), service: plan.voice_service }) : ""} ${t("plan.nothing")}`),
    plan.captions_left_out.length ? hint(t("plan.left_out", { signs: plan.captions_left_out.join(" ") })) : "",
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("plan.title") }, h("table", {},
      h("thead", {}, h("tr", {}, ["plan.when", "plan.shows", "short.credits"].map((key) => h("th", { scope: "col" }, t(key))))), h("tbody", {}, rows)))];
}

const link = (href, text) => (href?.startsWith("https:") ? h("a", { href, target: "_blank", rel: "noopener noreferrer" }, text) : text || "");

// Draw a finished video into `root`, with what can be done with it.
export async function showVideo(root, task, onDeleted) {
  const id = task.task_id;
  const linkTo = async (file) => (await call("GET", `/download/${id}?file=${file}`)).json.url;
  const fetchFile = (file) => async () => { h("a", { href: await linkTo(file) }).click(); return t("short.downloading"); };
  const [video, poster] = await Promise.all([linkTo("video"), linkTo("poster")]);
  const people = [...new Map(task.credits.map((each) => [each.photographer, each])).values()];
  root.replaceChildren(h("video", { class: "short", src: video, poster, controls: true, playsInline: true, "aria-label": t("short.result") }),
    hint(t("short.facts", { seconds: task.seconds, megabytes: (task.bytes / 1e6).toFixed(1) })),
    people.length ? hint(`${t("short.credits")}: `, people.flatMap((each, number) => [number ? ", " : "", link(each.photographer_url, each.photographer)]), ` (${people[0].source})`) : "",
    ...drawActions({ "result.download": fetchFile("video"), "result.share": async () => shareLink(await linkTo("video")),
      ...(task.links.srt ? { "short.captions": fetchFile("srt") } : {}) }, { kind: "video", link: video, path: `/task/${id}`, onDeleted }));
}
