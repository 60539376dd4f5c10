// A place to give a picture: by drop, paste, file, camera, address or sample.
import { alertLine, announce, button, h, newId, prefersStill, row } from "./dom.js";
import { takePhoto } from "./camera.js";
import { fromAddress, fromFile, fromSample, isVideo, release, shownType } from "./pictures.js";
import { t } from "./texts.js";

let lastUsed = null; // the picker that gets what is pasted
const pickers = new Set();

// `label` names it in each control; `samples` are {name, file, thumb}. `onChange` gets the picture, or null.
export class Picker {
  constructor({ name, label, types, samples, onChange, onRemove }) {
    Object.assign(this, { name, label, types, samples, onChange, onRemove, picture: null });
    this.titleId = newId("picker");
    this.body = h("div", { class: "picker-body" });
    this.error = alertLine();
    this.root = h("div", { class: "picker", role: "group", "aria-labelledby": this.titleId, "data-field": name,
      onfocusin: () => (lastUsed = this), onpointerdown: () => (lastUsed = this) },
    h("h3", { id: this.titleId }, label), this.body, this.error);
    for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
      this.root.addEventListener(type, (event) => {
        event.preventDefault();
        this.root.classList.toggle("over", type.endsWith("er"));
      });
    }
    this.root.addEventListener("drop", (event) => this.receive(event.dataTransfer));
    pickers.add(this);
    this.draw();
  }

  // Take what a drop or a paste brought; says whether there was anything.
  receive(data) {
    const file = data.files[0];
    const address = data.getData("text/uri-list").split("\n")[0] || data.getData("text/plain");
    if (file) this.accept(() => fromFile(file, this));
    else if (/^\s*https?:/.test(address)) this.accept(() => fromAddress(address));
    else return false;
    return true;
  }

  async accept(load) {
    this.setError("");
    this.root.setAttribute("aria-busy", "true");
    try {
      this.set(await load());
      announce(t("picture.chosen", { label: this.label, name: this.picture.name }));
      this.onChange(this.picture);
      this.root.querySelector("button")?.focus({ preventScroll: true });
    } catch (error) {
      this.setError(error.message);
    } finally {
      this.root.removeAttribute("aria-busy");
    }
  }

  set(picture) {
    release(this.picture);
    this.picture = picture;
    this.setError("");
    this.draw();
  }

  clear() {
    this.set(null);
    this.onChange(null);
    this.root.querySelector("input")?.focus({ preventScroll: true });
  }

  remove() {
    release(this.picture);
    pickers.delete(this);
    this.root.remove();
  }

  setError(sentence) {
    this.error.textContent = sentence;
  }

  button(name, onclick, more) {
    return button(t(`picture.${name}`), onclick, { "aria-label": t(`picture.${name}.of`, { label: this.label }), ...more });
  }

  removal() {
    return this.onRemove && this.button("remove", () => this.onRemove(this));
  }

  draw() {
    this.body.replaceChildren(...(this.picture ? this.drawPicture() : this.drawChoices()));
  }

  drawPicture() {
    const { preview, name, thumb, isPhoto } = this.picture;
    const alt = t("picture.alt", { label: this.label, name });
    const still = prefersStill() ? thumb || preview : preview;
    const view = !still ? h("div", { class: "unseen" }, t("picture.unseen"))
      : isVideo(shownType(this.picture)) && still === preview
        ? h("video", { src: preview, muted: true, loop: true, autoplay: true, playsInline: true, "aria-label": alt })
        : h("img", { src: still, alt });
    return [
      h("div", { class: "shown" }, view),
      h("p", { class: "name" }, name),
      row(this.button("change", () => this.clear()), this.removal()),
      ...(isPhoto && this.samples.length ? [h("p", { class: "notice" }, t("pack.drawn.photo")), this.drawSamples()] : []),
    ];
  }

  drawChoices() {
    const input = h("input", { type: "file", class: "visually-hidden", id: newId("file"), accept: this.types.join(","),
      "aria-label": t("picture.file.of", { label: this.label }),
      onchange: () => input.files[0] && this.accept(() => fromFile(input.files[0], this)) });
    const address = h("input", { type: "url", id: newId("address"), placeholder: "https://", inputMode: "url", autocomplete: "off" });
    const form = h("form", { class: "address", hidden: true, noValidate: true,
      onsubmit: (event) => { event.preventDefault(); this.accept(() => fromAddress(address.value)); } },
    h("label", { for: address.id }, t("picture.address.label")), address,
    button(t("picture.address.use")));
    const opener = this.button("address", () => {
      form.hidden = !form.hidden;
      opener.setAttribute("aria-expanded", String(!form.hidden));
      if (!form.hidden) address.focus();
    }, { "aria-expanded": "false" });
    return [
      input,
      h("label", { class: "drop", for: input.id }, h("strong", {}, t("picture.file")), h("span", {}, t("picture.drop"))),
      row(this.button("camera", () => takePhoto().then((file) => file && this.accept(() => fromFile(file, { ...this, origin: "camera" })),
        (error) => this.setError(error.message))), opener, this.removal()),
      form,
      this.samples.length ? this.drawSamples() : null,
    ].filter(Boolean);
  }

  drawSamples() {
    return h("div", { class: "samples", role: "group", "aria-label": t("picture.samples.of", { label: this.label }) },
      h("span", { class: "hint" }, t("picture.samples")),
      this.samples.map(({ name, file, thumb = file }) =>
        button(h("img", { src: new URL(`samples/${thumb}`, import.meta.url).href, alt: "", loading: "lazy" }),
          () => this.accept(() => fromSample(name, file, this)), { class: "sample", "aria-label": t("picture.sample", { label: this.label, name }), title: name })));
  }
}

// What is pasted goes to the picker that was used last, or to the first that is empty.
document.addEventListener("paste", (event) => {
  if (event.target.closest?.("textarea, input:not([type='file'])")) return;
  const visible = [...pickers].filter((picker) => picker.root.offsetParent);
  const picker = visible.includes(lastUsed) && !lastUsed.picture ? lastUsed : visible.find((each) => !each.picture) || lastUsed;
  if (picker?.receive(event.clipboardData)) event.preventDefault();
});
for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
