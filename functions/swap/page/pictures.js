// Pictures and what a request calls them: a small file travels inside it, a large one is uploaded to the bucket.
import { upload } from "./api.js";
import { t } from "./texts.js";

const INLINE_BYTES = 400_000; // in base64 ten of these fit into a request, which may have 6 MB
const THUMB_SIDE = 480; // pixels, of what a reload shows again
const LOOK_SIDE = 640, SMOOTH = 2, SMOOTH_SHARE = 0.45; // of what is looked at for grain: local/photo_check.py
const MAX_BYTES = 200 * 1024 ** 2; // of an upload

export const MEME_TYPES = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/apng", "video/mp4",
  "video/quicktime", "video/webm"];
export const FACE_TYPES = ["image/jpeg", "image/png", "image/webp"];

export const isVideo = (type) => type.startsWith("video/");

// The media type of what is shown of a picture: after a reload that may be a small JPEG.
export const shownType = ({ preview, thumb, type }) => (preview === thumb ? "image/jpeg" : type);

// A picture from a file; a large one has no `uri` before it is uploaded. Throws an Error with a sentence.
export async function fromFile(file, { types, origin = "file" }) {
  const type = file.type || guessType(file.name);
  if (!types.includes(type)) throw new Error(t(types === FACE_TYPES ? "error.face_type" : "error.meme_type", { name: file.name }));
  if (file.size > MAX_BYTES) throw new Error(t("error.too_many_bytes"));
  const preview = URL.createObjectURL(file);
  const picture = { origin, name: file.name || t("picture.pasted"), type, preview, ...await measure(preview, type) };
  if (file.size <= INLINE_BYTES && !isVideo(type)) picture.uri = await readDataUri(file);
  else picture.file = file;
  return picture;
}

// A picture that the stack fetches by itself; nothing is loaded here.
export function fromAddress(text) {
  let url;
  try {
    url = new URL(text.trim());
  } catch {
    throw new Error(t("error.address"));
  }
  if (url.protocol !== "https:") throw new Error(t("error.address"));
  const name = decodeURIComponent(url.pathname.split("/").pop()) || url.hostname;
  return { origin: "address", name: `${url.hostname}: ${name}`, uri: url.href, type: guessType(url.pathname) };
}

export async function fromSample(name, file, options) {
  const response = await fetch(new URL(`samples/${file}`, import.meta.url), { referrerPolicy: "no-referrer" });
  if (!response.ok) throw new Error(t("error.connection"));
  const data = await response.blob();
  return fromFile(new File([data], name, { type: data.type }), { ...options, origin: "sample" });
}

// The URI of a picture; what has none yet is uploaded first.
export async function nameInRequest(picture, onProgress, signal) {
  if (!picture.uri) {
    picture.uri = await upload(picture.file, onProgress, signal);
    delete picture.file;
  }
  return picture.uri;
}

// What of a picture may stay in the tab's storage. One that is not uploaded yet cannot be kept.
export function keep(picture) {
  if (!picture?.uri) return undefined;
  const { preview, file, ...rest } = picture;
  return rest;
}

export const restore = (kept) => kept && { ...kept, preview: kept.uri.startsWith("data:") ? kept.uri : kept.thumb };

export const release = (picture) => picture?.preview?.startsWith("blob:") && URL.revokeObjectURL(picture.preview);

function guessType(name) {
  const extension = name.split(".").pop().toLowerCase();
  const subtype = { jpg: "jpeg", mov: "quicktime" }[extension] || extension;
  return MEME_TYPES.find((type) => type.endsWith(`/${subtype}`)) || "";
}

const readDataUri = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(new Error(t("error.unreadable")));
  reader.readAsDataURL(file);
});

// An element with the first frame, decoded; a video stands at `seconds`.
export async function loadFrame(url, type, seconds = 0) {
  if (!isVideo(type)) {
    const image = new Image();
    image.src = url;
    await image.decode().catch(() => { throw new Error(t("error.unreadable")); });
    return image;
  }
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: url });
  await new Promise((resolve, reject) => {
    video.onerror = () => reject(new Error(t("error.unreadable")));
    video.onloadeddata = () => { video.currentTime = seconds; };
    video.onseeked = resolve;
  });
  return video;
}

export const sizeOf = (frame) => [frame.naturalWidth || frame.videoWidth, frame.naturalHeight || frame.videoHeight];

export function drawFrame(frame, box, side) {
  const [x0, y0, x1, y1] = box || [0, 0, ...sizeOf(frame)];
  const scale = Math.min(1, side / Math.max(x1 - x0, y1 - y0));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round((x1 - x0) * scale));
  canvas.height = Math.max(1, Math.round((y1 - y0) * scale));
  canvas.getContext("2d").drawImage(frame, x0, y0, x1 - x0, y1 - y0, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function measure(url, type) {
  const frame = await loadFrame(url, type);
  return { thumb: drawFrame(frame, null, THUMB_SIDE).toDataURL("image/jpeg", 0.8), isPhoto: looksPhotographed(drawFrame(frame, null, LOOK_SIDE)) };
}

// Whether a canvas has the grain of a photograph: few of its pixels are smooth.
function looksPhotographed(canvas) {
  const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const grey = Float32Array.from({ length: width * height }, (_, i) => Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]));
  let smooth = 0;
  for (let y = 1; y < height - 1; y += 1) {
    for (let i = y * width + 1; i < (y + 1) * width - 1; i += 1) {
      if (Math.abs(grey[i - 1] + grey[i + 1] + grey[i - width] + grey[i + width] - 4 * grey[i]) <= SMOOTH) smooth += 1;
    }
  }
  return smooth < SMOOTH_SHARE * (width - 2) * (height - 2);
}
