#!/bin/bash
# kill -9 of the servers of both drivebayfs, the blade's and the management module's, again and again, while fio writes and verifies: through
# the blade's file, as a LUN does, and through a local one. Nobody sees an error, and every block is what was written last. KILLS=N: of each.
. "$(dirname "$0")/kit.sh"
command -v fio >/dev/null || skip "fio is not installed"
kills=${KILLS:-25}
start_chain blade01
truncate -s 48M "$images/shared.img" "$images/local.img"
expect 0 "" drivebay drive add shared --source "$images/shared.img"
expect 0 "" drivebay drive add local --source "$images/local.img"
expect 0 "loaded on blade01" drivebay present shared --to blade01 --access write
epoch=$(epoch_of shared blade01)

# job NAME FILE ARGUMENTS…: verifies round after round until it is told to end.
job() {
    local name=$1 file=$2
    shift 2
    fio --name="$name" --filename="$file" --size=48M --rw=randwrite --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 \
        --verify_backlog=64 --verify_state_save=0 --randrepeat=0 --time_based --runtime=600 --output-format=terse "$@" >"$work/$name.fio" 2>&1 &
    jobs_of[$name]=$!
}
declare -A jobs_of=()
job blade "/srv/blade01/shared@$epoch" --bs=16k --iodepth=4
job local /srv/drivebay/drives/local --bs=4k --iodepth=16
until_true 20 "both drives are written to" data_path_is "views['shared', 'blade01']['writes'] > 0" \
    "views['local', '@local']['writes'] > 0"

restarts() { grep -c 'msg="taking over"' "$work/logs/$1"; }
for name in management blade01; do
    (
        # Anywhere between a moment after the take-over and long after it.
        while [ "$(restarts $name)" -lt "$kills" ]; do
            kill_server $name
            sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
        done
    ) &
    killers+=($!)
done
for killer in "${killers[@]}"; do
    wait "$killer"
done
for name in blade local; do
    is_running "${jobs_of[$name]}" || fail "$name saw an error: $(tail -n 5 "$work/$name.fio")"
    kill -INT "${jobs_of[$name]}"
    wait "${jobs_of[$name]}"  # fio's status is 128 after a signal; what counts is what it says
    # Fields 5, 6 and 47: errors, KiB verified, KiB written (fio's HOWTO, "Terse output").
    grep '^3;' "$work/$name.fio" | awk -F ';' '{ exit !($5 == 0 && $6 > 0 && $47 > 0) }' || fail "$name: $(cat "$work/$name.fio")"
    echo "$name: $(grep '^3;' "$work/$name.fio" | cut -d ';' -f 6) KiB verified"
done
echo "servers killed: management $(restarts management), blade01 $(restarts blade01)"
expect 0 "withdrawn" drivebay withdraw shared --from blade01
