"""Submit page, its form, and spec templates."""
