"""The distributed gallery: Milvus holds everything, so that any number of services may share one."""
