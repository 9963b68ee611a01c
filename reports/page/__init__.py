"""`report.html` and `report.md`: tables, plots, answers side by side, and the templates."""
