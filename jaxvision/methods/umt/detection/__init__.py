"""Actions of people whose boxes are known (AVA): the fine-tuning of UMT's encoder for detection."""
