// Loaded before the page is painted, so that a theme that was chosen does not flash.
try {
  const theme = localStorage.getItem("eventhub-console-theme")
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme
} catch {
  // Storage is off in this browser: the system's theme holds.
}
