// Sets the theme before the first paint: the chosen one, else the system's. A classic script, as modules run later.
(function () {
  const KEY = "theme";
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

  // Storage may be forbidden; the theme then follows the system.
  function storedChoice() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function apply() {
    const choice = storedChoice();
    const theme = choice === "light" || choice === "dark" ? choice : prefersDark.matches ? "dark" : "light";
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.setAttribute("data-theme-choice", choice || "system");
    document.dispatchEvent(new Event("theme"));
  }

  window.setTheme = function (choice) {
    try {
      if (choice === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // As above.
    }
    apply();
  };
  prefersDark.addEventListener("change", apply);
  apply();
})();
