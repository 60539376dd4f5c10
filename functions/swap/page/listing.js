// The faces of a meme, boxed and numbered, and which face goes where.
import { Problem, call, poll } from "./api.js";
import { field, h, hint, prefersStill, selectOf } from "./dom.js";
import { drawFrame, isVideo, loadFrame, shownType, sizeOf } from "./pictures.js";
import { t } from "./texts.js";
import { showProgress } from "./work.js";

const CROP_SIDE = 160; // pixels
export const LEAVE = "", DEFAULT = "default";
export const letter = (number) => String.fromCharCode(65 + number);

// Ask which faces there are; of a meme that moves `onJob` gets the list's id.
export async function requestListing(meme, uri, { id, onJob, root, signal }) {
  if (!id) {
    const { status, json } = await call("POST", "/faces", { body: { meme: uri, ...(meme.origin === "address" ? { preview: true } : {}) }, signal });
    if (status === 200) return json;
    onJob((id = json.id));
  }
  const job = await poll(`/faces/${id}`, {
    isOver: (job) => job.status === "succeeded" || job.status === "failed",
    onStep: (job) => showProgress(root, job), signal,
  });
  if (job.problem) throw new Problem(job.problem);
  const { people, ...rest } = job.result;
  return { ...rest, faces: people, moves: true };
}

// Draw the list into `root`: `sources` are names, `choices` are by the faces' numbers.
export async function showListing(root, { meme, listing, sources, hasDefault, choices, onChoice }) {
  const source = meme.preview;
  const scene = h("div", { class: "scene" });
  const cards = h("ul", { class: "people" });
  root.replaceChildren(hint(summary(listing)), h("div", { class: "who" }, scene, cards));
  scene.append(source ? viewOf(source, meme, listing) : h("div", { class: "unseen" }, t("picture.unseen")));
  if (!source) scene.firstChild.style.aspectRatio = `${listing.width} / ${listing.height}`;
  const options = [...sources.map((name, number) => [String(number), t("face.source", { letter: letter(number), name })]),
    ...(hasDefault ? [[DEFAULT, t("face.default")]] : []), [LEAVE, t("face.leave")]];
  for (const face of listing.faces) {
    const select = selectOf(options, choices[face.index] ?? LEAVE);
    select.id = `face-${face.index}`;
    const box = h("button", { class: "box", tabindex: "-1", "aria-hidden": "true", onclick: () => select.focus() }, h("span", {}, String(face.index + 1)));
    const mark = () => { box.dataset.source = select.value; card.dataset.source = select.value; };
    select.addEventListener("change", () => { mark(); onChoice(face.index, select.value); });
    const crop = h("div", { class: "crop" }, h("span", { class: "tag" }, String(face.index + 1)));
    const control = face.swappable === false
      ? h("div", {}, h("strong", {}, t("face.number", { number: face.index + 1 })), hint(t(`reason.${face.reason}`)))
      : field(`faces-${face.index}`, select, { label: t("face.number", { number: face.index + 1 }), hint: timesOf(face) });
    const card = h("li", { class: "person" }, crop, control);
    mark();
    cards.append(card);
    if (!listing.moves) placeBox(scene, box, face.box, listing);
    if (source) drawCrop(crop, source, meme, face, listing).catch(() => {});
  }
}

function viewOf(source, meme, listing) {
  const alt = t("listing.alt", { name: meme.name, count: listing.faces.length });
  if (isVideo(shownType(meme))) {
    return h("video", { src: source, muted: true, loop: true, autoplay: !prefersStill(), controls: true, playsInline: true, "aria-label": alt });
  }
  return h("img", { src: listing.moves && prefersStill() ? meme.thumb || source : source, alt });
}

function placeBox(scene, box, [x0, y0, x1, y1], { width, height }) {
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(box.style, { left: percent(x0, width), top: percent(y0, height), width: percent(x1 - x0, width), height: percent(y1 - y0, height) });
  scene.append(box);
}

// The face alone, at the moment that shows it best.
async function drawCrop(place, source, meme, face, listing) {
  const type = shownType(meme);
  const frame = listing.moves ? await frameAt(source, type, face.thumbnail || 0) : await loadFrame(source, type);
  const scale = (frame.displayWidth || sizeOf(frame)[0]) / listing.width;
  const [x0, y0, x1, y1] = face.box.map((side) => side * scale);
  const side = 1.25 * Math.max(x1 - x0, y1 - y0);
  const left = (x0 + x1 - side) / 2, top = (y0 + y1 - side) / 2;
  const canvas = drawFrame(frame, [left, top, left + side, top + side], CROP_SIDE);
  frame.close?.();
  canvas.setAttribute("aria-hidden", "true");
  place.prepend(canvas);
}

// The frame at a moment, where the browser can tell it; else the first.
async function frameAt(url, type, seconds) {
  if (isVideo(type) || !("ImageDecoder" in window)) return loadFrame(url, type, seconds);
  const data = await (await fetch(url)).arrayBuffer();
  const decoder = new ImageDecoder({ data, type });
  await decoder.tracks.ready;
  let image, end = 0;
  for (let index = 0; index < decoder.tracks.selectedTrack.frameCount && end <= seconds; index += 1) {
    image?.close();
    ({ image } = await decoder.decode({ frameIndex: index }));
    end = (image.timestamp + (image.duration || 0)) / 1e6;
  }
  return image;
}

function timesOf(face) {
  if (!face.times) return face.size && face.size < 24 ? t("face.small") : null;
  const times = face.times.map(({ start, end }) => t("face.time", { start: start.toFixed(1), end: end.toFixed(1) }));
  return t("face.seen", { times: times.join(", ") });
}

function summary(listing) {
  const count = listing.faces.length;
  return [...(count ? [t(count === 1 ? "listing.one" : "listing.many", { count })] : []), ...listing.notes].join(" ");
}
