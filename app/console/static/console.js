// What a page does beyond its links and forms: it tells the reader's time zone, renews its live
// regions, copies, and takes keys. Without it everything still works.

const EVERY_MS = 5000;
const LONGEST_MS = 60000;
const body = document.body;

// The zone: the server shows times in it.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const shown = document.querySelector(".zone")?.textContent;
if (shown && shown !== zone) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `console_zone=${zone}; path=${body.dataset.cookies}; max-age=31536000; SameSite=Lax${secure}`;
  if (document.querySelector("time") && document.cookie.includes("console_zone=")) renew();
}

// Live regions: the page's own address is fetched, and what is marked is swapped where it differs.

function busy(region) {
  const selection = getSelection();
  const selects = selection && !selection.isCollapsed;
  const chosen = region.querySelector("input:checked, details[open], dialog[open]");
  return selects || chosen || region.contains(document.activeElement);
}

async function renew() {
  const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
  if (answer.redirected) throw new Error("You are signed out. Load the page anew.");
  if (!answer.ok) throw new Error("The service cannot be reached.");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live], .zone")) {
    const fresh = region.id ? page.getElementById(region.id) : page.querySelector(".zone");
    if (fresh && fresh.innerHTML !== region.innerHTML && !busy(region)) {
      region.replaceChildren(...fresh.childNodes);
    }
  }
}

let wait = EVERY_MS;
let timer;

function soon() {
  clearTimeout(timer);
  timer = setTimeout(tick, wait);
}

async function tick() {
  if (document.hidden || getSelection()?.isCollapsed === false) return soon();
  const told = document.querySelector("[data-stale]");
  try {
    await renew();
    wait = EVERY_MS;
    if (told) told.hidden = true;
  } catch (error) {
    wait = Math.min(wait * 2, LONGEST_MS);
    if (told) {
      told.textContent = error instanceof TypeError ? "Not connected; this may be old." : error.message;
      told.hidden = false;
    }
  }
  soon();
}

if (body.dataset.refreshes === "yes" && document.querySelector("[data-live]")) {
  soon();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) tick();
  });
}

// Copying.

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const label = button.textContent;
    await navigator.clipboard.writeText(button.dataset.copy || location.href);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

// The editor: while somebody types, the server is asked what that would do, and the regions that
// say it are swapped. Saving waits for the answer.

const editor = document.querySelector("form[data-editor]");
const TRY_MS = 250;
const COMPARE_MS = 800;

function swap(page) {
  const at = document.activeElement;
  for (const fresh of page.querySelectorAll("[data-swap]")) {
    const region = document.getElementById(fresh.id);
    if (!region) continue;
    region.className = fresh.className;
    if (fresh.dataset.wrong !== undefined) mark(fresh.dataset.wrong.split(" ").filter(Boolean));
    if (region.innerHTML === fresh.innerHTML) continue;
    for (const each of region.querySelectorAll("details[id]")) {
      const next = fresh.querySelector(`#${CSS.escape(each.id)}`);
      if (next) next.open = each.open;
    }
    const held = region.contains(at) && [at.id, at.name, at.value];
    region.replaceChildren(...fresh.childNodes);
    if (!held) continue;
    const [id, name, value] = held;
    const again = id
      ? document.getElementById(id)
      : [...region.querySelectorAll("button")].find((each) => each.name === name && each.value === value);
    again?.focus();
  }
}

function mark(wrong) {
  for (const each of editor.elements) {
    if (wrong.includes(each.id)) each.setAttribute("aria-invalid", "true");
    else each.removeAttribute("aria-invalid");
  }
}

if (editor) {
  let turn = 0;
  let stale = false; // the comparison is of other rules than those in the form
  let leaving = false; // by the form itself, or by a link that says what becomes of it
  let timer;
  const told = document.querySelector("[data-stale]");
  const compared = document.getElementById("compared");
  for (const each of editor.querySelectorAll("[data-unscripted]")) each.hidden = true;

  const ask = async (what, mine) => {
    const sent = new URLSearchParams(new FormData(editor));
    sent.set("do", what);
    const answer = await fetch(editor.action, { method: "POST", body: sent, headers: { "X-Refresh": "1" } });
    if (answer.redirected) throw new Error("You are signed out. Sign in in another tab, then go on here.");
    if (!answer.ok) throw new Error("The service cannot tell what this would do.");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine === turn) swap(page);
  };

  const later = (what, mine, ms) => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        await ask(what, mine);
        if (told) told.hidden = true;
        if (mine !== turn) return;
        if (what === "compare") {
          stale = false;
          compared.removeAttribute("aria-busy");
        } else if (stale) {
          later("compare", mine, COMPARE_MS - TRY_MS);
        }
      } catch (error) {
        if (mine !== turn) return;
        if (told) {
          told.textContent = error instanceof TypeError ? "Not connected; what is shown may be old." : error.message;
          told.hidden = false;
        }
        later("preview", mine, EVERY_MS);
      }
    }, ms);
  };

  const tried = () => {
    turn += 1;
    later("preview", turn, TRY_MS);
  };
  const changed = () => {
    const save = compared.querySelector("button[value=save]");
    if (save) save.disabled = true;
    compared.setAttribute("aria-busy", "true");
    stale = true;
    tried();
  };

  editor.addEventListener("input", (event) => {
    if (event.target.closest("[data-sample]")) tried();
    else if (event.target.type !== "checkbox") changed();
  });
  editor.addEventListener("click", (event) => {
    const button = event.target.closest("button[value^='set ']");
    if (!button) return;
    event.preventDefault();
    const [, name, ...text] = button.value.split(" ");
    const input = editor.elements[name];
    input.value = text.join(" ");
    input.focus();
    changed();
  });
  editor.addEventListener("submit", (event) => {
    leaving = event.submitter?.value !== "preview";
    if (leaving) return;
    event.preventDefault(); // Enter in an input
    tried();
  });

  // Whoever goes elsewhere is asked first, for what they typed gets lost.

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#compared a, #problem a");
    if (link && !link.hash) leaving = true;
  });
  addEventListener("beforeunload", (event) => {
    const typed = stale || compared.querySelector("button[value=save]");
    if (typed && !leaving) event.preventDefault();
  });
}

// Keys.

const help = document.getElementById("help");
const find = document.getElementById("find");
const home = body.dataset.cookies;
const pages = { o: home, s: `${home}/submissions`, d: `${home}/submissions?status=dead`, c: `${home}/consent` };
let before = "";

for (const button of document.querySelectorAll("[data-help]")) {
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
}

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || !plain || help?.open) return;
  if (before === "g" && pages[event.key] && help) location.href = pages[event.key];
  before = event.key;
  if (event.key === "/" && find) {
    event.preventDefault();
    find.focus();
    find.select();
  } else if (event.key === "?" && help) {
    help.showModal();
  } else if (event.key === "j") {
    step(1);
  } else if (event.key === "k") {
    step(-1);
  }
});
