// Work on the stack: sent once whatever the network does, shown while it runs, cancelled when somebody asks.
import { Problem, call, pause, poll } from "./api.js";
import { announce, button, find, h } from "./dom.js";
import { save } from "./session.js";
import { t } from "./texts.js";

const SENDS = 6; // tries to send a request, which its key makes one
const ENDS = ["succeeded", "failed", "cancelled"];

// Show in `root` how far a swap, a list of people or a video is. A new stage is announced once.
export function showProgress(root, job) {
  const { done = 0, total = 0, unit } = Object(job.progress);
  const share = typeof job.progress === "number" ? job.progress : total ? done / total : null;
  const label = t(`stage.${(job.status !== "succeeded" && job.stage) || job.status}`);
  root.hidden = false;
  if (!root.querySelector("progress")) {
    root.replaceChildren(h("div", { class: "progress" }, h("p", { class: "stage" }),
      h("progress", { max: 1, "aria-label": t("progress.label") }), h("p", { class: "hint count" })));
  }
  const bar = root.querySelector("progress"), stage = root.querySelector(".stage");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  if (stage.textContent !== label) announce(label);
  stage.textContent = label;
  root.querySelector(".count").textContent = total ? t(`progress.${unit}`, { done, total })
    : share === null ? "" : t("progress.share", { percent: Math.round(100 * share) });
}

export class Work {
  // `kept` has the `key` and `job` of what runs; `button` starts it, and is away meanwhile.
  constructor({ kept, root, button, path, deletePath, onCancelled }) {
    Object.assign(this, { kept, root, button, path, deletePath, onCancelled });
    this.controller = new AbortController();
    document.addEventListener("deleted", ({ detail }) => detail === kept.job && this.onCancelled());
  }

  get signal() { return this.controller.signal; }

  // Send the request that `describe` makes, unless it is running already; resolves to its final state.
  async run(path, describe, headers = {}) {
    const { signal, kept } = this;
    this.show({ status: kept.job ? "queued" : "sending" });
    for (let failures = 0; !kept.job;) {
      const body = await describe(signal);
      kept.key ||= crypto.getRandomValues(new Uint32Array(4)).join("-"); // randomUUID is for https alone
      save();
      try {
        const { json } = await call("POST", path, { body, signal, headers: { ...headers, "idempotency-key": kept.key } });
        kept.job = json.id || json.task_id;
        save();
      } catch (error) {
        if (!error.retryable || ++failures >= SENDS) throw error;
        await pause(error.retryAfter || 2 ** failures, signal);
      }
    }
    const job = await poll(this.path(kept.job), { isOver: ({ status }) => ENDS.includes(status), signal,
      onStep: (job) => this.show(job), onTrouble: (offline) => (find("offline").hidden = !offline) });
    if (job.problem) throw new Problem(job.problem);
    this.hide();
    return job;
  }

  show(job) {
    this.button.hidden = true;
    showProgress(this.root, job);
    if (!this.root.querySelector("button")) this.root.append(button(t("cancel"), () => this.cancel()));
  }

  hide() {
    this.root.hidden = true;
    this.root.replaceChildren();
    this.button.hidden = false;
  }

  stop() {
    this.controller.abort(new DOMException("", "AbortError"));
    this.controller = new AbortController();
    this.forget();
  }

  forget() {
    Object.assign(this.kept, { key: null, job: null });
    save();
    this.hide();
  }

  async cancel() {
    const { job } = this.kept;
    this.stop();
    this.onCancelled();
    announce(t("cancelled"));
    if (job) await call("DELETE", this.deletePath(job)).catch(() => {});
  }
}
