"""Audio and video of a clip -> the arrays that networks take, and the store that keeps them."""
