// Sets the theme before the first paint: the chosen one, else the system's. A classic script on purpose.
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    var chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch (error) { /* storage may be forbidden: follow the system */ }
    var theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.setAttribute("data-theme-choice", chosen || "system");
    document.dispatchEvent(new Event("theme"));
  }
  window.setTheme = function (choice) {
    try { choice === "system" ? localStorage.removeItem("theme") : localStorage.setItem("theme", choice); } catch (error) { /* as above */ }
    apply();
  };
  dark.addEventListener("change", apply);
  apply();
})();
