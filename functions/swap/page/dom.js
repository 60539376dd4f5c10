// Elements, and what is said to those who cannot see them.
import { t } from "./texts.js";

// An element with attributes, listeners (onclick and the like) and children; text becomes text, never markup.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

let count = 0;
export const newId = (prefix) => `${prefix}-${++count}`;

export function announce(text) {
  const live = find("live");
  live.textContent = "";
  requestAnimationFrame(() => (live.textContent = text));
}

export function focusOn(element) {
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest", behavior: prefersStill() ? "auto" : "smooth" });
}

export const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// A labelled field with a hint and a place for its error, by the name that problems give it.
export function field(name, control, { label, hint, className = "" }) {
  const id = (control.id ||= newId(name));
  control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  return h("div", { class: `field ${className}`, "data-field": name }, h("label", { for: id }, label), control,
    h("p", { class: "hint", id: `${id}-hint` }, hint || ""), h("p", { class: "error", id: `${id}-error`, role: "alert" }));
}

// Show a sentence beside the field of that name. What the API says of a field begins in small letters: its label leads it.
export function setError(root, name, sentence) {
  const place = root.querySelector(`[data-field="${CSS.escape(name)}"]`);
  if (!place) return false;
  const label = place.querySelector("label").textContent;
  place.querySelector(".error").textContent = /^[a-z]/.test(sentence) ? `${label}: ${sentence}.` : sentence;
  place.querySelector("input, select, textarea").setAttribute("aria-invalid", "true");
  return true;
}

export function clearErrors(root) {
  for (const error of root.querySelectorAll(".error")) error.textContent = "";
  for (const control of root.querySelectorAll("[aria-invalid]")) control.setAttribute("aria-invalid", "false");
}

// A button; unless `more` says otherwise, a quiet one.
export const button = (text, onclick, more = {}) => h("button", { class: "quiet", onclick, ...more }, text);

export const row = (...buttons) => h("div", { class: "actions" }, ...buttons);

export const alertLine = (text = "") => h("p", { class: "error", role: "alert" }, text);

export const hint = (...content) => h("p", { class: "hint" }, ...content);

export const selectOf = (options, value) =>
  h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));

export const checkbox = (name, label, checked, hint) =>
  field(name, h("input", { type: "checkbox", checked }), { label, hint, className: "check" });

export function confirmDialog(question, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, question),
      row(button(action, () => dialog.close("yes"), { class: "danger" }), button(t("cancel"), () => dialog.close("no"))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
