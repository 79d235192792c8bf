// Nothing is exported yet: this package is not written.
export {};
