# Veredus: the commands people use. The build itself is meson's (meson.build).
#
#   make run       build and run the sandbox: a server on loopback that shows each message travelling
#   make check     build as shipped, with warnings as errors; unit tests and quick dialogues: under three minutes
#   make test      build twice (sanitizers; as shipped), run every test, end with "N passed, N failed"
#   make bench     measure beside Postfix; writes build/bench.json
#   make fuzz      fuzz every parser for FUZZ_SECONDS each
#   make torture   kill -9 under load, TORTURE_ROUNDS rounds
#   make install   install below DESTDIR/PREFIX, the sample configuration below DESTDIR/SYSCONFDIR

PREFIX       ?= /usr
SYSCONFDIR   ?= /etc
DESTDIR      ?=
SANDBOX_DIR  ?= build/sandbox
SMTP         ?= 127.0.0.1:2525
FUZZ_SECONDS ?= 60
TORTURE_ROUNDS ?= 100

MESON = meson
PLAIN = build/plain
ASAN  = build/asan
CHECK = build/check
# What `make check` runs of the programs in tests/: the words of tests/run.
CHECK_WORDS = unit style build/test_headers dialogue/test_dialogues cmd/

.DEFAULT_GOAL := build
.PHONY: build asan run check test bench fuzz torture install clean format check-style deps deps-test

# Installing what is missing asks dpkg first, so a machine that has everything needs no network and no root.
deps:
	@tools/install-deps build

deps-test:
	@tools/install-deps build test

$(PLAIN)/build.ninja: | deps
	CC=$${CC:-gcc} $(MESON) setup --prefix=$(PREFIX) --sysconfdir=$(SYSCONFDIR) $(PLAIN)

$(ASAN)/build.ninja: | deps-test
	CC=clang $(MESON) setup -Dwerror=true -Dsanitize=true -Dtests=true -Dfuzz=true $(ASAN)

$(CHECK)/build.ninja: | deps-test
	CC=$${CC:-gcc} $(MESON) setup -Dwerror=true -Dtests=true $(CHECK)

build: deps $(PLAIN)/build.ninja
	@ninja -C $(PLAIN)

asan: deps-test $(ASAN)/build.ninja
	@ninja -C $(ASAN)

# Root in somebody else's clone gets a folder of its own: the sandbox refuses one that others may change under it.
run: build
	@dir=$(SANDBOX_DIR); \
	if [ "$$(id -u)" = 0 ] && [ "$$(stat -c %u .)" != 0 ] && [ "$$dir" = build/sandbox ]; then dir=$$(mktemp -d); fi; \
	exec $(PLAIN)/veredus sandbox --dir "$$dir" --smtp $(SMTP) --demo

check: deps-test $(CHECK)/build.ninja
	@ninja -C $(CHECK)
	@tests/run --plain $(CHECK) --asan $(CHECK) $(CHECK_WORDS)

test: deps-test build asan
	@tests/run --plain $(PLAIN) --asan $(ASAN)

bench: deps-test build
	@bench/run --build $(PLAIN) --output build/bench.json

fuzz: asan
	@tests/fuzz --build $(ASAN) --seconds $(FUZZ_SECONDS)

torture: deps-test build
	@tests/torture/torture --build $(PLAIN) --rounds $(TORTURE_ROUNDS)

install: build
	@$(MESON) configure -Dprefix=$(PREFIX) -Dsysconfdir=$(SYSCONFDIR) $(PLAIN)
	@DESTDIR=$(abspath $(DESTDIR)) $(MESON) install -C $(PLAIN)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

check-style:
	@tools/check-style

clean:
	rm -rf build/plain build/plain-* build/asan build/check build/sandbox
