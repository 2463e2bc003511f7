"""Show what benches and grids gave: one page with analyses, figures and failures."""
