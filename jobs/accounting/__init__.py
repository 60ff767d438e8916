"""Cost of work: charges, budgets, utilisation and totals."""
