"""Where clips come from: folders in TAU layout, downloaded or rendered."""
