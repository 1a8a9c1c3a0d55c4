// Builds the viewer of the page: src/neurofetch/ui/static/niivue.mjs, with the licences of all that is in
// it (NOTICE) and its digest (niivue.sha256), or the same in another folder. `make ui` runs it; the same
// input gives the same bytes.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const target = process.argv[2] ?? join(here, "..", "..", "src", "neurofetch", "ui", "static");

/** Fails unless each package is the one whose digest is in the lock file. `npm ci` checks what it fetches. */
function checkLock() {
  const lock = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8"));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === "" || entry.optional) continue;
    const manifest = join(here, path, "package.json");
    if (!entry.integrity) throw new Error(`${path} has no digest in package-lock.json`);
    if (!existsSync(manifest)) throw new Error(`${path} is not installed: run npm ci`);
    const { version } = JSON.parse(readFileSync(manifest, "utf8"));
    if (version !== entry.version) {
      throw new Error(`${path} is ${version}, and package-lock.json says ${entry.version}: run npm ci`);
    }
  }
}

/** Returns the packages that are in the bundle, by name. */
function packagesIn(metafile) {
  const names = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const [, path] = input.split("node_modules/");
      if (!path || bytesInOutput === 0) continue;
      const parts = path.split("/");
      names.add(parts[0].startsWith("@") ? `${parts[0]}/${parts[1]}` : parts[0]);
    }
  }
  return [...names].sort();
}

/** Returns the licence of a package: its own file, or the one that is kept here for it. */
function licenceOf(name) {
  const folder = join(modules, name);
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const kept = join(here, "licences", `${name.split("/").pop()}.txt`);
  if (!file && !existsSync(kept)) throw new Error(`${name} has no licence`);
  return readFileSync(file ? join(folder, file) : kept, "utf8").trim();
}

function* filesBelow(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* filesBelow(path);
    else if (path.endsWith(".ts")) yield path;
  }
}

/** Returns what comments of NiiVue's source say of the licences of others. */
function noticesInside() {
  const source = join(modules, "@niivue", "niivue", "src");
  const notices = [];
  for (const path of filesBelow(source)) {
    const text = readFileSync(path, "utf8");
    for (const [comment] of text.matchAll(/\/\*[^]*?\*\/|(?:^[ \t]*\/\/.*\n)+/gm)) {
      if (!/copyright|licen[cs]ed?\b/i.test(comment)) continue;
      notices.push(`${relative(source, path).split(sep).join("/")}:\n\n${comment.replace(/^[ \t]+/gm, "").trim()}`);
    }
  }
  return notices;
}

function notice(names) {
  const rule = "=".repeat(76);
  const parts = [
    "niivue.mjs is the viewer of the page. It is built, by `make ui`, from the packages below,\n" +
      "which are not ours. Their licences follow.",
  ];
  for (const name of names) {
    const { version, license } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
    parts.push(`${rule}\n${name} ${version} (${license})\n${rule}\n\n${licenceOf(name)}`);
  }
  const apache = readFileSync(join(here, "licences", "apache-2.0.txt"), "utf8").trim();
  parts.push(`${rule}\nIn the source of @niivue/niivue, of others\n${rule}\n\n${noticesInside().join("\n\n")}`);
  parts.push(`${rule}\nThe Apache License, which some of these name\n${rule}\n\n${apache}`);
  return `${parts.join("\n\n").replace(/[ \t]+$/gm, "").replace(/\r/g, "")}\n`;
}

checkLock();
const result = await build({
  stdin: { contents: 'export { NVImage, NVMesh, Niivue } from "@niivue/niivue";', resolveDir: here },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none", // all of them are in NOTICE
  charset: "ascii",
  metafile: true,
  write: false,
  alias: { zarrita: join(here, "no-zarr.mjs") },
  absWorkingDir: here,
});
const [{ contents }] = result.outputFiles;
const names = packagesIn(result.metafile);
const digest = createHash("sha256").update(contents).digest("hex");
writeFileSync(join(target, "niivue.mjs"), contents);
writeFileSync(join(target, "niivue.sha256"), `${digest}  niivue.mjs\n`);
writeFileSync(join(target, "NOTICE"), notice(names));
console.log(`niivue.mjs: ${contents.length} bytes of ${names.join(", ")}`);
