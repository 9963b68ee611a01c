"""`report.html` and `report.md`: tables, pictures, answers side by side, and the templates."""
