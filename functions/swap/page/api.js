// Requests to the API, and errors as people can read them.
import { t } from "./texts.js";

export const BASE = new URL("./", document.baseURI);
const credentials = { headers: {}, onRefused: () => {} };

// A problem document (RFC 9457), or what stands for one where a gateway or the network answered.
export class Problem extends Error {
  constructor(document, status = 0, retryAfter) {
    super(document.detail);
    Object.assign(this, { errors: [], ...document, status, retryAfter });
  }
}

export const setCredentials = (headers, onRefused) => Object.assign(credentials, { headers, onRefused });

// Ask the API. `path` begins with a slash. Resolves to {status, json} or, with `accept` of a picture, {blob}.
export async function call(method, path, { body, headers = {}, accept = "application/json", signal } = {}) {
  const response = await fetch(new URL(path.slice(1), BASE), {
    method, signal, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", body: body && JSON.stringify(body),
    headers: { accept, ...credentials.headers, ...headers, ...(body && { "content-type": "application/json" }) },
  }).catch((error) => {
    throw signal?.aborted ? error : new Problem({ code: "no_connection", detail: t("error.connection"), retryable: true });
  });
  const type = response.headers.get("content-type") || "", { status } = response;
  if (response.ok && /^(image|video)\//.test(type)) return { blob: await response.blob() };
  const json = type.includes("json") ? await response.json().catch(() => ({})) : {};
  if (response.ok) return { status, json };
  throw describe(json, status, Number(response.headers.get("retry-after")) || undefined);
}

function describe(json, status, wait) {
  if (json.code) return new Problem(json, status, wait);
  if (status === 401 || status === 403) credentials.onRefused();
  const code = { 401: "refused", 403: "refused", 413: "too_large", 429: "throttled", 503: "late" }[status] || "unknown";
  return new Problem({ code, detail: t(`error.${code}`, { status }), retryable: status === 429 || status >= 500 }, status, wait);
}

export const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });

// Ask until `isOver`; `onStep` gets each answer, `onTrouble` whether the last try failed.
export async function poll(path, { isOver, onStep, onTrouble = () => {}, signal, seconds = 1 }) {
  for (let failures = 0; ;) {
    let answer;
    try {
      answer = await call("GET", path, { signal });
      if (failures) onTrouble(false);
      failures = 0;
    } catch (error) {
      if (!error.retryable || failures > 60) throw error;
      failures += 1;
      if (failures > 1) onTrouble(true);
      await pause(Math.min(error.retryAfter || failures, 8), signal);
      continue;
    }
    onStep(answer.json);
    if (isOver(answer.json)) return answer.json;
    await pause(seconds, signal);
  }
}

// Send a file straight to the bucket; `onProgress` gets 0 to 1. Resolves to its URI.
export async function upload(file, onProgress = () => {}, signal) {
  const { json } = await call("POST", "/uploads", { signal });
  const form = new FormData();
  for (const [name, value] of Object.entries(json.fields)) form.append(name, value);
  form.append("file", file);
  await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const fail = () => reject(new Problem({ code: "upload_failed", detail: t("error.upload"), retryable: true }, request.status));
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    request.addEventListener("load", () => (request.status < 300 ? resolve() : fail()));
    request.addEventListener("error", fail);
    signal?.addEventListener("abort", () => { request.abort(); reject(signal.reason); });
    request.open("POST", json.url);
    request.send(form);
  });
  return json.uri;
}
