#!/bin/bash
# C5: four connections of one blade with thousands of reads of 32 MiB each; another blade of the same drive, by file and by
# export, keeps at least 80 % of its fair share, which is half of what it has alone. The flooder is niced: its own need of
# a processor is not what is measured. SECONDS_EACH: how long each throughput is measured.
. "$(dirname "$0")/kit.sh"
command -v fio >/dev/null || skip "fio is not installed"
start_chain blade01 blade02
make_image "$images/same.img" 64M
expect 0 "" drivebay drive add same --source "$images/same.img"
expect 0 "loaded on blade01" drivebay present same --to blade01 --access read
expect 0 "loaded on blade02" drivebay present same --to blade02 --access read
seconds=${SECONDS_EACH:-2}
file="--filename=/srv/drivebay/blades/blade02/same --direct=1 --ioengine=libaio"
export='--ioengine=nbd --uri=nbd+unix:///blade02/same?socket=/run/drivebay/nbd.sock'

# Reads of 4 KiB a second.
throughput() {
    # shellcheck disable=SC2086
    expect 0 "" fio --name=other $1 --iodepth=32 --rw=randread --bs=4k --size=16M --time_based --runtime="$seconds" --output-format=terse
    grep '^3;' "$work/said" | cut -d ';' -f 8
}

for how in "$file" "$export"; do
    # Whatever else this machine does comes and goes: the best of three.
    for try in 1 2 3; do
        alone=$(throughput "$how")
        start flooder nice "$python" "$here/rude_nbd_clients.py" /run/drivebay/nbd.sock blade01/same "$work/ready" devour
        until_true 20 "the flood is there" test -e "$work/ready"
        beside=$(throughput "$how")
        is_running "${pids[flooder]}" || fail "the flood ended: $(tail -n 3 "$work/logs/flooder")"
        end_now flooder
        rm "$work/ready"
        until_true 10 "nothing is in flight" data_path_is "views['same', 'blade01']['in_flight'] == 0"
        echo "${how%% *}: alone $alone, beside the flood $beside a second (try $try)"
        [ "$((beside * 10))" -lt "$((alone * 4))" ] || continue 2
    done
    fail "a blade keeps $beside of $alone reads a second beside another one's flood"
done
