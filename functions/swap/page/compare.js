// A result over its original, with a slider between them.
import { button, h, prefersStill } from "./dom.js";
import { isVideo } from "./pictures.js";
import { t } from "./texts.js";

// `original` and `result` are {src, type}; without an original the result stands alone.
export function compare(original, result) {
  if (!original?.src) return h("figure", { class: "compare" }, view(result, t("compare.result")));
  const below = view(result, t("compare.result")), above = view(original, t("compare.original"));
  if (below.pause && above.pause) follow(below, above);
  else below.addEventListener("play", () => above.dispatchEvent(new Event("play")));
  const stage = h("div", { class: "stack" }, below, h("div", { class: "over" }, above), h("div", { class: "line" }));
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

// Keep a video at the place of another.
function follow(leader, video) {
  video.controls = false;
  leader.onplay = () => video.play();
  leader.onpause = () => video.pause();
  leader.ontimeupdate = () => Math.abs(leader.currentTime - video.currentTime) > 0.2 && (video.currentTime = leader.currentTime);
}

// A picture or video that moves only where motion is wanted.
export function view({ src, type }, alt) {
  const still = prefersStill();
  if (isVideo(type)) {
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
    place.addEventListener("play", () => place.replaceChildren(image), { once: true });
    place.append(canvas, button(t("compare.play"), () => place.dispatchEvent(new Event("play"))));
  }, () => place.append(image));
  return place;
}
