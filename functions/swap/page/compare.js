// A result over its original, with a slider between them.
import { button, h, prefersStill } from "./dom.js";
import { t } from "./texts.js";

// `original` and `result` are {src, type}; without an original the result stands alone.
export function compare(original, result) {
  if (!original?.src) return h("figure", { class: "compare" }, view(result, t("compare.result")));
  const top = h("div", { class: "over" }, view(original, t("compare.original")));
  const stage = h("div", { class: "stack" }, view(result, t("compare.result")), top, h("div", { class: "line", "aria-hidden": "true" }));
  const slider = h("input", { type: "range", class: "slider", "aria-label": t("compare.slider"),
    oninput: () => set(slider.value) });
  const set = (value) => {
    stage.style.setProperty("--cut", `${value}%`);
    slider.setAttribute("aria-valuetext", t("compare.value", { percent: value }));
  };
  set("50");
  return h("figure", { class: "compare" }, stage,
    h("div", { class: "slide" }, h("span", {}, t("compare.original")), slider, h("span", {}, t("compare.result"))));
}

// A picture or video that moves only where motion is wanted.
export function view({ src, type }, alt) {
  const still = prefersStill();
  if (type?.startsWith("video/")) {
    return h("video", { src, muted: true, loop: !still, autoplay: !still, controls: true, playsInline: true, "aria-label": alt });
  }
  return still && ["image/gif", "image/webp", "image/png", "image/apng"].includes(type) ? freeze(src, alt) : h("img", { src, alt });
}

function freeze(src, alt) {
  const place = h("div", { class: "frozen" });
  const image = new Image();
  image.src = src;
  image.alt = alt;
  image.decode().then(() => {
    const canvas = h("canvas", { width: image.naturalWidth, height: image.naturalHeight, role: "img", "aria-label": alt });
    canvas.getContext("2d").drawImage(image, 0, 0);
    place.append(canvas, button(t("compare.play"), () => place.replaceChildren(image)));
  }, () => place.append(image));
  return place;
}
