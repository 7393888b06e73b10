// What a person does with the pages, in a real browser: pages.cjs BINARY CHROMIUM FOLDER-FOR-PICTURES.
"use strict";
const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [binary, executablePath, shots] = process.argv.slice(2);
const KEY = "key-of-the-browser-test-0123456789";
const KOREAN = "배송이 정말 빨라요! 😀 그런데 포장은 별로예요… 다시는 안 살래요.";
const ENGLISH = "Mr. Smith's plot is thin, but the acting is wonderful. I loved it!<br />The music was awful.";

/** A server and the addresses that it says. */
function serve(...flags) {
  const fixed = ["serve", "--listen", "127.0.0.1:0", "--models", "models", "--device", "cpu", "--deadline", "1m"];
  const child = spawn(binary, [...fixed, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}:\n${said}`)));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
      const api = said.match(/listening on (http:\/\/\S+)/);
      if (api) resolve({ child, api: api[1], ops: said.match(/operations on (http:\/\/\S+)/)?.[1] });
    });
  });
}

/** A page on which nothing may go wrong but what the test expects. */
async function open(context, troubles) {
  const page = await context.newPage();
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("console", (message) => {
    // A refusal is told to the person, and by the browser to its console too.
    if (message.type() === "error" && !/status of (401|422)/.test(message.text())) troubles.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:)/.test(request.url())) troubles.push(`asked ${request.url()}`);
  });
  return page;
}

const heading = (page) => page.locator("#answer h2");

async function classify(page, text) {
  await page.getByLabel("Review").fill(text);
  await page.getByRole("button", { name: "Classify" }).click();
}

/** Nothing is wider than the window. */
async function fits(page) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${wide} pixels in a window of ${window}`);
}

const steps = {
  async "a review is pasted and answered, sentence by sentence and part by part"({ context, troubles, plain }) {
    const page = await open(context, troubles);
    await page.goto(plain.api);
    await classify(page, KOREAN);
    await heading(page).waitFor();
    assert.match(await heading(page).innerText(), /[긍부]정 \((posi|nega)tive\)/);
    const rows = page.locator("#answer table").first().locator("tbody tr td:first-child");
    assert.deepEqual(await rows.allInnerTexts(), ["배송이 정말 빨라요!", "😀 그런데 포장은 별로예요…", "다시는 안 살래요."]);
    // Offsets are right also behind the emoji: the text is shown as it was typed, in one piece.
    assert.equal(await page.locator(".marked").innerText(), KOREAN);
    const marks = await page.locator(".marked mark").allInnerTexts();
    assert.ok(marks.length > 0 && marks.every((mark) => !/\s$/.test(mark)), String(marks));
    await page.screenshot({ path: path.join(shots, "korean.png"), fullPage: true });

    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: "dark" });
    await classify(page, ENGLISH);
    await page.locator("#answer h2", { hasText: /^(posi|nega)tive$/ }).waitFor();
    assert.deepEqual(await rows.allInnerTexts(),
      ["Mr. Smith's plot is thin, but the acting is wonderful.", "I loved it!", "The music was awful."]);
    assert.ok((await page.locator(".marked mark.up").allInnerTexts()).includes("wonderful"));
    assert.ok((await page.locator(".marked mark.down").allInnerTexts()).includes("awful"));
    await page.getByText("The strongest parts in numbers").click();
    await fits(page);
    await page.screenshot({ path: path.join(shots, "phone.png"), fullPage: true });
    await page.getByLabel("Sentences").uncheck();
    await page.getByLabel("What moved the score").uncheck();
    await classify(page, "It was fun");
    await page.locator("#answer dd", { hasText: "3 of 3 read" }).waitFor();
    assert.equal(await page.locator("#answer table").count(), 0);
  },

  async "an empty text and one without a word are told in plain words"({ context, troubles, plain }) {
    const page = await open(context, troubles);
    await page.goto(plain.api);
    await classify(page, "   ");
    await page.locator("#answer h2", { hasText: "Nothing to read" }).waitFor();
    assert.match(await page.locator("#answer").innerText(), /Paste or type a review first/);
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");
    await page.locator("#language").selectOption("ko");
    await classify(page, "хорошо".repeat(9_000));
    await page.locator("#answer h2", { hasText: "Too long" }).waitFor();
    await page.locator("#language").selectOption("");
    await classify(page, "хорошо");
    await page.locator("#answer h2", { hasText: "Unknown language" }).waitFor();
  },

  async "the keyboard is enough"({ context, troubles, plain }) {
    const page = await open(context, troubles);
    await page.goto(plain.api);
    await page.keyboard.type("A waste of two hours.");
    await page.keyboard.press("Control+Enter");
    await page.locator("#answer h2", { hasText: "negative" }).waitFor();
  },

  async "a server with keys asks for one, which is kept nowhere"({ context, troubles, keyed }) {
    const page = await open(context, troubles);
    await page.goto(keyed.api);
    await classify(page, "I loved it");
    await page.locator("#answer h2", { hasText: "A key is needed" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "key");
    await page.screenshot({ path: path.join(shots, "key.png"), fullPage: true });
    await page.getByLabel("API key").fill(KEY);
    await classify(page, "I loved it");
    await page.locator("#answer h2", { hasText: "positive" }).waitFor();
    // Its models can be listed now.
    await page.locator("#model option[value=imdb]").waitFor({ state: "attached" });
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    assert.ok(!kept.includes(KEY), kept);
    await page.reload();
    assert.equal(await page.getByLabel("API key").inputValue(), "");
  },

  async "the page of the API sends what is tried, with the key"({ context, troubles, plain, keyed }) {
    for (const { api, key } of [{ api: plain.api }, { api: keyed.api, key: KEY }]) {
      const page = await open(context, troubles);
      await page.goto(`${api}/docs`);
      const card = page.locator("#classify");
      await card.getByText("Try it").click();
      if (key) await card.getByLabel(/API key/).fill(key);
      await card.getByRole("button", { name: "Send" }).click();
      await card.locator("form .status", { hasText: "200" }).waitFor();
      assert.match(await card.locator("form pre").last().innerText(), /"label": "positive"/);
    }
  },

  async "on the port for operations nothing is posted to where there is no API"({ context, troubles, apart }) {
    const page = await open(context, troubles);
    const failed = [];
    page.on("response", (response) => response.status() >= 400 && failed.push(response.url()));
    await page.goto(apart.ops);
    await page.getByRole("heading", { name: "The API is on another port" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Classify" }).isVisible(), false);
    await page.goto(`${apart.ops}/docs`);
    assert.equal(await page.locator("#classify").getByText("Try it").count(), 0);
    const health = page.locator("#health");
    await health.getByText("Try it").click();
    await health.getByRole("button", { name: "Send" }).click();
    await health.locator("form .status", { hasText: "200" }).waitFor();
    assert.deepEqual(failed, []);
  },
};

async function main() {
  const folder = mkdtempSync(path.join(tmpdir(), "pages-"));
  const keys = path.join(folder, "keys");
  writeFileSync(keys, `${KEY}\n`);
  const servers = [];
  let context;
  try {
    for (const flags of [[], ["--api-key-file", keys], ["--ops-listen", "127.0.0.1:0"]]) servers.push(await serve(...flags));
    const [plain, keyed, apart] = servers;
    context = await chromium.launchPersistentContext(path.join(folder, "profile"), {
      executablePath,
      viewport: { width: 1000, height: 800 },
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
    });
    for (const [name, step] of Object.entries(steps)) {
      const troubles = [];
      await step({ context, troubles, plain, keyed, apart });
      assert.deepEqual(troubles, [], name);
      console.log(`ok: ${name}`);
    }
  } finally {
    await context?.close();
    for (const { child } of servers) {
      child.removeAllListeners("exit");
      child.kill();
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
