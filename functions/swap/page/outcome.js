// What can be done with something finished: look, check its label, download, share, delete.
import { call } from "./api.js";
import { compare } from "./compare.js";
import { announce, button, confirmDialog, h, hint, row } from "./dom.js";
import { shownType } from "./pictures.js";
import { t } from "./texts.js";

const INLINE_BYTES = 4_500_000; // up to which the API answers with the picture itself

// Draw a finished swap; `original` is a picture or null.
export function showSwap(root, { id, result, original, onAgain, onDeleted }) {
  const swapped = result.faces.filter((face) => face.swapped).length, total = result.faces.length;
  const before = original?.preview && { src: original.preview, type: shownType(original) };
  root.replaceChildren(compare(before, { src: result.url, type: result.content_type }),
    hint(t(total === 1 ? "result.one" : "result.many", { swapped, total, width: result.width, height: result.height })),
    h("ul", { class: "notes" }, result.notes.map((note) => h("li", {}, note))),
    ...drawActions({ "result.download": () => download(id, result), "result.share": () => share(id, result),
      ...(onAgain ? { "result.again": onAgain } : {}) }, { kind: "swap", link: result.url, path: `/results/${id}`, onDeleted }));
}

// Buttons by the names of their texts, one that deletes `path`, and what the label of the file at `link` says.
export function drawActions(actions, { kind, link, path, onDeleted }) {
  const status = h("p", { class: "hint status", role: "status" }), verdict = h("div", { class: "verdict", role: "status" });
  const act = (key, className, action, place) => button(t(key), async ({ currentTarget }) => {
    place.textContent = "";
    currentTarget.disabled = true;
    place.textContent = await action().catch((error) => error.message) || "";
    currentTarget.disabled = false;
  }, { class: className });
  return [row(Object.entries(actions).map(([key, action], number) => act(key, number ? "" : "primary", action, status)),
    act("result.delete", "quiet", () => remove(path, onDeleted), status)), status,
  h("details", { class: "more" }, h("summary", {}, t(`label.${kind}`)), h("p", {}, t("label.what")), h("p", {}, t("label.elsewhere")),
    act("label.check", "", () => checkLabel(link), verdict), verdict)];
}

// Delete what is at that path of the API, if the answer to a question is yes.
export async function remove(path, onDeleted) {
  if (!(await confirmDialog(t("result.delete.ask"), t("result.delete")))) return;
  await call("DELETE", path);
  announce(t("result.deleted"));
  onDeleted();
}

const fileName = (result) => `coldswap-${result.key.split("/").pop()}`;
const linkOf = async (id) => (await call("GET", `/swap/${id}`)).json.result.url;

// The picture itself, as a file; null where it is too large for an answer of the API.
async function fetchFile(id, result) {
  if (result.bytes > INLINE_BYTES) return null;
  const { blob } = await call("GET", `/swap/${id}`, { accept: "image/*" });
  return new File([blob], fileName(result), { type: result.content_type });
}

async function download(id, result) {
  const file = await fetchFile(id, result);
  const href = file ? URL.createObjectURL(file) : await linkOf(id);
  h("a", { href, download: fileName(result), ...(file ? {} : { target: "_blank", rel: "noopener noreferrer" }) }).click();
  if (file) setTimeout(() => URL.revokeObjectURL(href), 60_000);
  return t("result.downloaded", { name: fileName(result) });
}

async function share(id, result) {
  const file = await fetchFile(id, result);
  return file && navigator.canShare?.({ files: [file] }) ? hand({ files: [file] }) : shareLink(await linkOf(id));
}

// Hand a link to another program, or to the clipboard.
export async function shareLink(url) {
  if (navigator.canShare?.({ url })) return hand({ url });
  if (!navigator.clipboard) return url; // as on a page without TLS
  await navigator.clipboard.writeText(url);
  return t("result.copied");
}

const hand = (data) => navigator.share(data).catch((error) => { if (error.name !== "AbortError") throw error; });

async function checkLabel(link) {
  const { hostname, pathname } = new URL(link);
  const path = decodeURIComponent(hostname.includes(".s3.") ? hostname.split(".s3.")[0] + pathname : pathname.slice(1));
  const { json } = await call("POST", "/verify", { body: { uri: `s3://${path}` } });
  const { signer, state } = json.manifest;
  return [json.sentence, signer ? t("label.signer", { signer, state: t(`label.${state}`) }) : ""].join(" ");
}
