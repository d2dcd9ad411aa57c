"""The gallery: claims about losses, judged by the comparisons that were planned before."""
