// Requests to the API, and errors as people can read them.
import { t } from "./texts.js";

export const BASE = new URL("./", document.baseURI);
const credentials = { headers: {}, onRefused: () => {} };

// A problem document (RFC 9457), or what stands for one where a gateway or the network answered.
export class Problem extends Error {
  constructor(document, status, retryAfter) {
    super(document.detail);
    this.code = document.code;
    this.status = status;
    this.errors = document.errors || [];
    this.retryable = Boolean(document.retryable);
    this.retryAfter = retryAfter;
  }
}

export function setCredentials(headers, onRefused) {
  Object.assign(credentials, { headers, onRefused });
}

// Ask the API. `path` begins with a slash. Resolves to {status, headers, json} or, with `accept` of a picture, {blob}.
export async function call(method, path, { body, form, headers = {}, accept = "application/json", signal } = {}) {
  let response;
  try {
    response = await fetch(new URL(path.slice(1), BASE), {
      method,
      headers: {
        accept, ...credentials.headers, ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: form ?? (body === undefined ? undefined : JSON.stringify(body)),
      signal,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "no_connection", detail: t("error.connection"), retryable: true }, 0);
  }
  const type = response.headers.get("content-type") || "";
  if (response.ok && /^(image|video)\//.test(type)) {
    return { status: response.status, headers: response.headers, blob: await response.blob() };
  }
  const json = type.includes("json") ? await response.json().catch(() => ({})) : {};
  if (response.ok) return { status: response.status, headers: response.headers, json };
  throw describe(response, json);
}

function describe(response, json) {
  const wait = Number(response.headers.get("retry-after")) || undefined;
  if (json.code) return new Problem(json, response.status, wait);
  if (response.status === 401 || response.status === 403) {
    credentials.onRefused();
    return new Problem({ code: "refused", detail: t("error.refused") }, response.status);
  }
  const [code, retryable] = { 413: ["too_large", false], 429: ["throttled", true], 503: ["late", true] }[response.status] ||
    ["unknown", response.status >= 500];
  return new Problem({ code, detail: t(`error.${code}`, { status: response.status }), retryable }, response.status, wait);
}

// Wait, or less long if the tab comes back to the front.
export const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });

// Ask until `isOver`; `onStep` gets each answer, `onTrouble` whether the last try failed. Gives up on real problems only.
export async function poll(path, { isOver, onStep, onTrouble = () => {}, signal, seconds = 1 }) {
  for (let failures = 0; ;) {
    let answer;
    try {
      answer = await call("GET", path, { signal });
      if (failures) onTrouble(false);
      failures = 0;
    } catch (error) {
      if (!(error instanceof Problem) || !(error.retryable || error.status === 0) || failures > 60) throw error;
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

// Send a file straight to the bucket by a form of POST /uploads; `onProgress` gets 0 to 1. Resolves to its URI.
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
