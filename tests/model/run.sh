#!/bin/bash
#
# run.sh - check the models.
#
#     run.sh [DIRECTORY]            all of them; what is built goes to DIRECTORY
#     run.sh mutants [DIRECTORY]    that they see each memory order: mutants.py
#
# handover.cpp, idle.cpp, park.cpp and calm.cpp compile headers of runtime/, and sync.cpp whole
# files of it, against relacy, which runs every interleaving of a few threads under the
# C++11 memory model.  handover.pml, idle.pml and lookout.pml are models for spin of what
# is not in a header.  With a rule of theirs left out, they must fail.

set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mode=check
[ "${1:-}" = mutants ] && mode=mutants && shift
build=${1:-$here/../../build/model}

have_relacy()
{
    echo '#include <relacy/relacy.hpp>' | g++ -std=c++11 -w -E -x c++ - >/dev/null 2>&1
}

compile()
{
    g++ -std=c++11 -O2 -w -I"$here/include" -I"$here/../../include" -I"$here/../../runtime" \
        -I"$here" "$here/$1.cpp" -o "$build/$1"
}

# relacy MODEL: every line of its output that begins with ok or FAIL counts.
relacy()
{
    echo "$1.cpp"
    if compile "$1"; then
        "$build/$1" || [ $? -eq 1 ] || echo "FAIL  $1.cpp crashes"
    else
        echo "FAIL  $1.cpp does not compile"
    fi
}

# spin_model MODEL right|wrong [SPIN OPTION] [CC OPTION]: what its claims are.
spin_model()
{
    local model=$1 claims=$2 spin_option=${3:-} cc_option=${4:-} found=wrong
    local title="$model.pml ${spin_option:+$spin_option }is $claims" directory
    directory=$build/spin-$model$spin_option
    mkdir -p "$directory"
    (cd "$directory" && rm -f pan &&
        spin -a ${spin_option:+"$spin_option"} "$here/$model.pml" &&
        gcc -O1 -w -DSAFETY -DCOLLAPSE ${cc_option:+"$cc_option"} -o pan pan.c &&
        ./pan -m200000) >"$directory/log" 2>&1 || echo "pan failed" >>"$directory/log"

    # Right is: searched to the end, and the claims in init were come to.
    grep -q 'errors: 0$' "$directory/log" && found=right
    grep -Eq '^(error|Warning: Search not completed)|pan failed' "$directory/log" && found=broken
    grep -A 1 '^unreached in init' "$directory/log" | grep -q '(0 of' || found=broken
    grep -q '^pan:1: assertion violated' "$directory/log" && found=wrong

    if [ $found = "$claims" ]; then
        echo "ok    $title:$(sed -n 's/ states, stored.*/ states/p' "$directory/log" | tr -s ' ')"
    else
        echo "FAIL  $title, but found to be $found:"
        tail -n 40 "$directory/log"
    fi
}

all_relacy()
{
    if ! have_relacy; then
        echo "skip  $*: relacy is not installed"
        return
    fi
    for model; do
        relacy "$model"
    done
}

all_spin()
{
    if ! command -v spin >/dev/null; then
        echo "skip  handover.pml, idle.pml, lookout.pml: spin is not installed"
        return
    fi
    spin_model handover right "" -DNOREDUCE
    spin_model handover wrong -DCLAIM_IN_TWO_STEPS -DNOREDUCE
    spin_model handover wrong -DRAISE_AFTER_GIVING -DNOREDUCE
    spin_model idle right
    spin_model idle wrong -DNO_BARRIER
    spin_model idle wrong -DNO_RECHECK
    spin_model lookout right
    spin_model lookout wrong -DDECIDE_FIRST
    spin_model lookout wrong -DNO_APPOINTING
}

check()
{
    local log=$build/log passed failed skipped

    # Two at a time.
    { all_relacy idle; all_spin; } >"$log.1" 2>&1 &
    all_relacy park calm handover sync >"$log.2" 2>&1
    wait
    cat "$log.2" "$log.1" | tee "$log"

    passed=$(grep -ac '^ok  ' "$log")
    failed=$(grep -ac '^FAIL' "$log")
    skipped=$(grep -ac '^skip' "$log")
    [ "$skipped" -eq 0 ] && skipped= || skipped=", $skipped skipped"
    echo "$passed passed, $failed failed$skipped"
    [ "$failed" -eq 0 ]
}

mutants()
{
    if have_relacy; then
        compile park && compile calm && compile handover && compile idle && compile sync &&
            python3 "$here/mutants.py" "$build"
    else
        echo "skip  mutants: relacy is not installed"
        echo "0 passed, 0 failed, 1 skipped"
    fi
}

mkdir -p "$build"
$mode
