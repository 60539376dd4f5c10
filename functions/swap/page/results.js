// What this caller has made, and its end.
import { call } from "./api.js";
import { alertLine, button, find, h, hint, row } from "./dom.js";
import { remove, showSwap } from "./outcome.js";
import { drawFrame, loadFrame } from "./pictures.js";
import { showVideo } from "./shorts.js";
import { t } from "./texts.js";

const THUMB_SIDE = 240; // pixels
const time = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });

export class ResultsPanel {
  constructor() {
    this.list = h("ul", { class: "made" });
    this.status = h("p", { role: "status" });
    this.error = alertLine();
    this.more = button(t("results.more"), () => this.load(this.next), { hidden: true });
    find("panel-results").replaceChildren(h("div", { class: "card" }, h("h2", { id: "results-title", tabindex: "-1" }, t("tab.results")),
      hint(t("results.hint")), this.status, this.error, this.list, this.more));
  }

  show() {
    this.list.replaceChildren();
    this.load();
  }

  async load(cursor) {
    const turn = (this.turn = Symbol("turn")); // a later call overtakes this one
    this.error.textContent = "";
    this.status.textContent = t("loading");
    try {
      const { json } = await call("GET", `/results?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (turn !== this.turn) return;
      this.next = json.next;
      this.more.hidden = !json.next;
      this.list.append(...json.items.map((item) => this.draw(item)));
      this.status.textContent = this.list.children.length ? "" : t("results.none");
      for (const item of json.items) if (turn === this.turn && item.status === "succeeded" && item.kind !== "batch") await this.preview(item).catch(() => {});
    } catch (error) {
      this.status.textContent = "";
      this.error.textContent = error.message;
    }
  }

  draw(item) {
    const name = t("results.item", { kind: t(`kind.${item.kind}`), time: time.format(new Date(item.created_at)) });
    const place = h("div", { class: "opened" });
    const open = button(t("results.show"), () => this.open(item, place, open), { "aria-expanded": "false", "aria-label": t("results.show.of", { name }) });
    return h("li", { id: `made-${item.id}` }, h("div", { class: "thumb" }), h("div", {}, h("strong", {}, name), hint(t(`stage.${item.status}`))),
      row(open, button(t("result.delete"), () => remove(item.links.delete, () => this.gone(item)).catch((error) => (this.error.textContent = error.message)), { "aria-label": t("results.delete.of", { name }) })), place);
  }

  // A small picture that stands still, of what moves its first frame.
  async preview(item) {
    const { json } = await call("GET", item.kind === "video" ? `/download/${item.id}?file=poster` : item.links.self);
    const frame = await loadFrame(json.url || json.result.url, json.result?.content_type || "");
    find(`made-${item.id}`)?.querySelector(".thumb").replaceChildren(drawFrame(frame, null, THUMB_SIDE));
  }

  async open(item, place, button) {
    const opened = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!opened));
    button.textContent = t(opened ? "results.show" : "results.hide");
    place.replaceChildren();
    if (opened) return;
    try {
      const { json } = await call("GET", item.links.self);
      if (json.result) showSwap(place, { id: item.id, result: json.result, original: null, onDeleted: () => this.gone(item) });
      else if (json.links?.download) await showVideo(place, json, () => this.gone(item));
      else if (json.counts) place.append(...drawBatch(json));
      else place.append(h("p", {}, json.problem?.detail || t(`stage.${json.status}`)));
    } catch (error) {
      place.append(alertLine(error.message));
    }
  }

  gone(item) {
    find(`made-${item.id}`)?.remove();
    document.dispatchEvent(new CustomEvent("deleted", { detail: item.id }));
    this.status.textContent = this.list.children.length ? "" : t("results.none");
    find("results-title").focus();
  }
}

// How many memes of a batch are over, why it failed if it did, and its report once it is over.
function drawBatch({ counts, problem, report }) {
  return [h("p", {}, t("batch.counts", counts)), problem && h("p", {}, problem.detail),
    report && h("p", {}, h("a", { href: report, target: "_blank", rel: "noopener noreferrer" }, t("batch.report")))].filter(Boolean);
}
