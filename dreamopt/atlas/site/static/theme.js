// Before anything is drawn: the theme that was chosen on an earlier page.
(function () {
  "use strict";
  try {
    var theme = localStorage.getItem("dreamopt-atlas-theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch (error) { /* a browser that keeps nothing for pages from a disk */ }
})();
