// How far work is: its stage in words, and a bar where it can be counted.
import { announce, h } from "./dom.js";
import { t } from "./texts.js";

// Show the state of a swap, a list of people or a video in `root`. A new stage is announced once.
export function showProgress(root, job) {
  root.hidden = false;
  const stage = job.stage || job.status;
  const { done = 0, total = 0, unit = "frames" } = typeof job.progress === "object" && job.progress || {};
  const share = typeof job.progress === "number" ? job.progress : total ? done / total : null;
  const label = t(`stage.${stage}`);
  const count = total ? t(`progress.${unit}`, { done, total }) : share === null ? "" : t("progress.share", { percent: Math.round(100 * share) });
  if (!root.querySelector("progress")) {
    root.replaceChildren(h("div", { class: "progress" }, h("p", { class: "stage" }), h("progress", { max: 1, "aria-label": t("progress.label") }), h("p", { class: "hint count" })));
  }
  const bar = root.querySelector("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  const text = root.querySelector(".stage");
  if (text.textContent !== label) announce(label);
  text.textContent = label;
  root.querySelector(".count").textContent = count;
}

export function hideProgress(root) {
  root.hidden = true;
  root.replaceChildren();
}
