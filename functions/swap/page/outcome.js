// What can be done with a finished swap: look, check its label, download, share, delete.
import { call } from "./api.js";
import { compare } from "./compare.js";
import { announce, confirmDialog, h } from "./dom.js";
import { t } from "./texts.js";

const INLINE_BYTES = 4_500_000; // up to which the API answers with the picture itself

// Draw the result into `root`. `original` is a picture or null; `onAgain` and `onDeleted` are what follows.
export function showOutcome(root, { id, result, original, onAgain, onDeleted }) {
  const status = h("p", { class: "hint status", role: "status" });
  const label = labelPart(id, result, () => status);
  const button = (key, className, action) =>
    h("button", { class: className, onclick: (event) => run(event.currentTarget, status, action) }, t(key));
  root.replaceChildren(
    compare(original?.preview && { src: original.preview, type: original.thumb === original.preview ? "image/jpeg" : original.type },
      { src: result.url, type: result.content_type }),
    h("p", { class: "hint" }, sentence(result)),
    result.notes.length ? h("ul", { class: "notes" }, result.notes.map((note) => h("li", {}, note))) : "",
    h("div", { class: "actions" },
      button("result.download", "primary", () => download(id, result)),
      button("result.share", "", () => share(id, result)),
      onAgain && button("result.again", "", async () => onAgain()),
      button("result.delete", "quiet", async () => {
        if (!(await confirmDialog(t("result.delete.ask"), t("result.delete")))) return "";
        await call("DELETE", `/results/${id}`);
        announce(t("result.deleted"));
        onDeleted();
        return "";
      })),
    status, label);
}

async function run(button, status, action) {
  status.textContent = "";
  button.disabled = true;
  try {
    status.textContent = (await action()) || "";
  } catch (error) {
    status.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function sentence(result) {
  const swapped = result.faces.filter((face) => face.swapped).length;
  return t(result.faces.length === 1 ? "result.one" : "result.many", { swapped, total: result.faces.length, width: result.width, height: result.height });
}

const fileName = (result) => `coldswap-${result.key.split("/").pop()}`;

// The picture itself, as a file; null where it is too large for an answer of the API.
async function fetchFile(id, result) {
  if (result.bytes > INLINE_BYTES) return null;
  const { blob } = await call("GET", `/swap/${id}`, { accept: "image/*" });
  return new File([blob], fileName(result), { type: result.content_type });
}

async function download(id, result) {
  const file = await fetchFile(id, result);
  const url = file ? URL.createObjectURL(file) : (await call("GET", `/swap/${id}`)).json.result.url;
  h("a", { href: url, download: fileName(result), ...(file ? {} : { target: "_blank", rel: "noopener noreferrer" }) }).click();
  if (file) setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return t("result.downloaded", { name: fileName(result) });
}

async function share(id, result) {
  const file = await fetchFile(id, result);
  if (file && navigator.canShare?.({ files: [file] })) {
    try {
      await navigator.share({ files: [file] });
      return "";
    } catch (error) {
      if (error.name === "AbortError") return "";
    }
  }
  await navigator.clipboard.writeText((await call("GET", `/swap/${id}`)).json.result.url);
  return t("result.copied");
}

function labelPart(id, result) {
  const verdict = h("div", { class: "verdict", role: "status" });
  return h("details", { class: "more" }, h("summary", {}, t("label.title")),
    h("p", {}, t("label.what")), h("p", {}, t("label.elsewhere")),
    h("button", { onclick: (event) => run(event.currentTarget, verdict, () => check(id, result)) }, t("label.check")), verdict);
}

async function check(id, result) {
  const file = await fetchFile(id, result);
  const form = new FormData();
  form.append("uri", file || result.url);
  const { json } = await call("POST", "/verify", { form });
  const signer = json.manifest?.signer ? t("label.signer", { signer: json.manifest.signer, state: t(`label.${json.manifest.state}`) }) : "";
  return [json.sentence, signer].filter(Boolean).join(" ");
}
