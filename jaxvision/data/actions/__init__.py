"""Actions of people in video: annotation files in their owners' layouts, and rules of boxes."""
