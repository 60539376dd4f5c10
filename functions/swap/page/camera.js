// A photo from this device's camera.
import { button, h, row } from "./dom.js";
import { t } from "./texts.js";

// Resolves to a JPEG file, or null if nobody took one. Throws an Error with a sentence where there is no camera.
export async function takePhoto() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch {
    throw new Error(t("error.camera"));
  }
  const video = h("video", { autoplay: true, muted: true, playsInline: true, "aria-label": t("camera.view") });
  video.srcObject = stream;
  const dialog = h("dialog", { "aria-labelledby": "camera-title" },
    h("h2", { id: "camera-title" }, t("camera.title")), video,
    row(button(t("camera.take"), () => dialog.close("taken"), { class: "primary" }), button(t("cancel"), () => dialog.close(""))));
  document.body.append(dialog);
  dialog.showModal();
  try {
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "taken" || !video.videoWidth) return null;
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const data = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return new File([data], t("camera.name"), { type: "image/jpeg" });
  } finally {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  }
}
