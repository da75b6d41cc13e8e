"""Commands that measure speed and error side by side in one run, and print ratios."""
