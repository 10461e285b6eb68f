"""The real mm/zsmalloc.c as a target: sources, builds, coverage."""
