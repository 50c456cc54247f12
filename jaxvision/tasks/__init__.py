"""What the tasks of several methods share: functions and small values that a method's own Task
calls. Nothing here is subclassed, and nothing here knows a method."""
