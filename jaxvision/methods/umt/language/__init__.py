"""UMT's second stage and what follows it: videos with words (sections 3.3, 4.2 and 4.3)."""
