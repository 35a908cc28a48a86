"""bfloat16 on the CPU without a changed grade: first in bfloat16, and again in FP32 where a decision is close."""
