// What bionic's crtbegin_so.o gives a shared library: the handle by which its thread-local destructors are known, and their
// end when the library is closed. Only in builds without Google's NDK, which brings its own.

__attribute__((visibility("hidden"))) void *__dso_handle = &__dso_handle;

extern void __cxa_finalize(void *);

__attribute__((destructor)) static void finalize(void) { __cxa_finalize(&__dso_handle); }
