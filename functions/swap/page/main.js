// Begin: how callers sign in, the terms, the pack, and the three tabs.
import { call, setCredentials } from "./api.js";
import { announce, find, focusOn, h } from "./dom.js";
import { ResultsPanel } from "./results.js";
import { save, state } from "./session.js";
import { ShortPanel } from "./shorts.js";
import { signIn, takeKey } from "./sign_in.js";
import { SwapPanel } from "./swap.js";
import { fillTexts, t } from "./texts.js";

const TABS = ["swap", "short", "results"];

fillTexts(document);
const linkedKey = takeKey(); // before anything else can see it in the address
begin().catch((error) => gate(error.message));

async function begin() {
  const { json: config } = await call("GET", "/page/config");
  find("version").textContent = t("version", config);
  setCredentials({}, () => {});
  await signIn(config, { linkedKey, check: checkCredentials, gate });
  find("gate").hidden = true;
  find("loading").hidden = false;
  await acceptTerms();
  const [pack, fields] = await Promise.all([readPack(), readFields()]);
  showPack(pack);
  const panels = { swap: new SwapPanel(pack), short: new ShortPanel(fields), results: new ResultsPanel() };
  setUpTabs(panels);
  await Promise.all([panels.swap.start(), panels.short.start()]);
}

async function checkCredentials() {
  terms = (await call("GET", "/terms")).json;
}
let terms = null;

function gate(...content) {
  find("gate").replaceChildren(h("h2", { id: "gate-title" }, t("gate.title")), ...content.map((each) => (typeof each === "string" ? h("p", {}, each) : each)));
  find("loading").hidden = true;
  find("gate").hidden = false;
}

async function acceptTerms() {
  if (terms.accepted) return;
  find("terms-text").replaceChildren(...terms.text.map((sentence) => h("li", {}, sentence)));
  find("loading").hidden = true;
  find("terms").hidden = false;
  focusOn(find("terms-title"));
  await new Promise((resolve) => {
    find("terms-accept").addEventListener("click", async () => {
      find("terms-error").textContent = "";
      try {
        await call("POST", "/terms", { body: { version: terms.version } });
        resolve();
      } catch (error) {
        find("terms-error").textContent = error.message;
      }
    });
  });
  find("terms").hidden = true;
  find("loading").hidden = false;
  announce(t("terms.accepted"));
}

async function readPack() {
  try {
    const { json } = await call("GET", "/pack");
    return { ...json, drawn: json.name === "demo" };
  } catch (error) {
    return { name: "", problem: error, drawn: false };
  }
}

// The fields of POST /generate-video that this stack knows, by name.
async function readFields() {
  try {
    const { json } = await call("GET", "/openapi.json");
    const schema = (reference) => json.components.schemas[reference.$ref.split("/").pop()];
    const body = json.paths["/generate-video"].post.requestBody.content["application/json"].schema;
    return { ...schema(body).properties, $schema: schema };
  } catch {
    return {};
  }
}

function showPack(pack) {
  const place = find("pack");
  const sentence = pack.problem?.message || t(pack.drawn ? "pack.drawn" : "pack.real", pack);
  place.append(h("p", {}, h("span", { class: pack.problem ? "badge bad" : "badge" }, pack.name || t("pack.none")), sentence),
    h("details", { class: "more" }, h("summary", {}, t("pack.more")),
      pack.licences && h("p", {}, t("pack.licence", { licence: pack.licences.join("; ") })),
      // The page has words of its own about the small pack.
      pack.drawn || pack.problem ? [h("p", {}, t("pack.operator")), h("pre", {}, "make models ACCEPT=1\nmake models LOCAL=1 ACCEPT=1")]
        : pack.hint && h("p", {}, pack.hint)));
  place.hidden = false;
}

function setUpTabs(panels) {
  const tabs = TABS.map((name) => find(`tab-${name}`));
  const choose = (name, focus = false) => {
    for (const tab of tabs) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      find(tab.getAttribute("aria-controls")).hidden = !chosen;
      if (chosen && focus) tab.focus();
    }
    state.tab = name;
    save();
    panels[name].show?.();
  };
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => choose(TABS[number]));
    tab.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: number + 1, ArrowLeft: number - 1 + TABS.length, Home: 0, End: TABS.length - 1 };
      if (event.key in steps) {
        event.preventDefault();
        choose(TABS[steps[event.key] % TABS.length], true);
      }
    });
  });
  find("loading").hidden = true;
  document.querySelector(".tabs").hidden = false;
  choose(TABS.includes(state.tab) ? state.tab : "swap");
}
