// Builds the console into ../static: `node build.mjs`, run by `make .venv/console`.
import { cpSync, rmSync } from "node:fs"
import { build } from "esbuild"

const outdir = "../static"
rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: ["main.tsx", "theme.ts", "style.css"],
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "eof",
  jsx: "automatic",
  jsxImportSource: "preact",
  external: ["/-/client.js", "/-/client/*"],
  outdir,
  chunkNames: "[name]-[hash]",
  logLevel: "warning",
})
for (const name of ["index.html", "icon.svg"]) cpSync(name, `${outdir}/${name}`)
