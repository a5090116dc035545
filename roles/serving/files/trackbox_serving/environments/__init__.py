"""Python environments for versions whose requirements the default environment does not satisfy."""
