# Shortcuts; each does no more than its script or cargo does.

_list:
    @just --list

# Everything that CI checks.
check *filter:
    scripts/test {{filter}}

# The long tests at their full size.
full *filter:
    scripts/test --full {{filter}}

# Installs what building and testing need.
setup:
    scripts/setup

# The packages, in target/dist/.
package *format:
    scripts/package {{format}}

# Builds, then shows the daemon at real work.
quickstart:
    scripts/quickstart

# Measures what users feel, as ratios.
bench *options:
    scripts/bench {{options}}

# Draws the README's picture from a run of the quickstart.
picture:
    script -qec scripts/quickstart /dev/null | scripts/picture submit list cancel wait logs stop > docs/terminal.svg

# Formats the source.
fmt:
    cargo fmt --all

# The lints alone.
lint:
    cargo clippy --all-targets -- -D warnings

# The documentation, in a browser.
doc:
    cargo doc --no-deps --document-private-items --open
