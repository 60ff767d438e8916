// Lint of the front end: eslint's recommended rules, and bounds on the size of functions, files and lines.
import js from "@eslint/js";
import globals from "globals";

const BOUNDS = {
  "max-lines-per-function": ["error", { max: 50 }],
  "max-lines": ["error", { max: 300 }],
  "max-len": ["error", { code: 120 }],
  complexity: ["error", 15],
};
const VENDORED = { htmx: "readonly", uPlot: "readonly" };

export default [
  js.configs.recommended,
  {
    files: ["dashboard/static/js/**/*.js"],
    languageOptions: { globals: { ...globals.browser, ...VENDORED } },
    rules: BOUNDS,
  },
  // Loaded before the first paint, when modules do not run yet.
  { files: ["dashboard/static/js/theme.js"], languageOptions: { sourceType: "script" } },
];
