# shellcheck shell=bash
#
# Guest images for the Trove of this devstack.
#
# devstack sources this file in each phase: plugin.sh MODE [PHASE].  The file
# uses devstack's functions and the variables in ``settings``.  It decides when
# a step runs; the commands of trove-tools do the work.

_XTRACE_TROVE_TOOLS=$(set +o | grep xtrace)
set +o xtrace

# The clouds in devstack's clouds.yaml that this plugin uses: an administrator,
# Trove itself (its project has the images and the instances), and a user.
_TROVE_TOOLS_ADMIN=devstack-admin
_TROVE_TOOLS_SERVICE=trove
_TROVE_TOOLS_USER=devstack

# The variables whose values must be one line, and those that must be numbers.
_TROVE_TOOLS_LINES=(
    TROVE_GUEST_IMAGE_URL TROVE_GUEST_IMAGE_SHA256 TROVE_GUEST_IMAGE_DIR
    TROVE_GUEST_SYSTEM TROVE_GUEST_RUNTIME TROVE_GUEST_AGENT
    TROVE_GUEST_DEV_KEY TROVE_GUEST_CONSTRAINTS TROVE_GUEST_REGISTRY_MIRROR
    TROVE_GUEST_MIRROR TROVE_GUEST_SECURITY_MIRROR TROVE_GUEST_CACHE_DIR
    TROVE_GUEST_IMAGE_FROM
)
_TROVE_TOOLS_NUMBERS=(
    TROVE_USAGE_TIMEOUT TROVE_RESIZE_TIME_OUT TROVE_STATE_CHANGE_WAIT_TIME
    TROVE_COMMAND_PROCESS_TIMEOUT TROVE_MAX_INSTANCES_PER_TENANT
    TROVE_MAX_VOLUMES_PER_TENANT
)

# _trove_tools COMMAND ARGUMENT...: run a command of trove-tools in devstack's
# Python environment.
function _trove_tools {
    local command=$1
    shift
    "$(get_python_exec_prefix)/$command" "$@"
}

# _trove_tools_state: print the directory of files that later runs read.
function _trove_tools_state {
    printf '%s\n' "${DATA_DIR:?}/trove-tools"
}

# _trove_tools_split ARRAY TEXT: put the words of a text into an array, without
# expanding patterns of file names.
function _trove_tools_split {
    local -n _trove_tools_words=$1
    local IFS=$' \t\n'
    # read returns 1 at the end of the text
    read -r -d '' -a _trove_tools_words <<<"$2" || true
}

# _trove_tools_list ARRAY TEXT: the same, with blanks or commas between words.
function _trove_tools_list {
    _trove_tools_split "$1" "${2//,/ }"
}

function _trove_tools_builds {
    [[ $TROVE_GUEST_IMAGE_BUILD == True && -z $TROVE_GUEST_IMAGE_URL ]]
}

function _trove_tools_loads {
    [[ -n $TROVE_GUEST_IMAGE_URL ]] || _trove_tools_builds
}

# check_trove_tools: stop before any installation if the configuration cannot
# work.
function check_trove_tools {
    local plugin=trove-tools after_trove=False plugins datastores name
    _trove_tools_list plugins "${DEVSTACK_PLUGINS:-}"
    for plugin in "${plugins[@]}"; do
        if [[ $plugin == trove ]]; then
            after_trove=True
        elif [[ ${GITDIR[$plugin]:-} -ef $TROVE_TOOLS_DIR ]]; then
            break
        fi
    done
    if ! is_plugin_enabled trove; then
        die $LINENO "trove-tools needs Trove's plugin: write" \
            "'enable_plugin trove https://opendev.org/openstack/trove'" \
            "before 'enable_plugin $plugin ...' into local.conf"
    fi
    if [[ $after_trove == False ]]; then
        die $LINENO "trove-tools is enabled before Trove's plugin: move" \
            "'enable_plugin $plugin ...' below 'enable_plugin trove ...'" \
            "in local.conf"
    fi
    for name in "${_TROVE_TOOLS_LINES[@]}"; do
        if [[ ${!name} == *[[:cntrl:]]* ]]; then
            die $LINENO "trove-tools: $name has a line break or another" \
                "control character"
        fi
    done
    for name in "${_TROVE_TOOLS_NUMBERS[@]}"; do
        if [[ ! ${!name} =~ ^-?[0-9]+$ ]]; then
            die $LINENO "trove-tools: $name is not a number"
        fi
    done
    _trove_tools_list datastores "$TROVE_GUEST_DATASTORES"
    for name in "${datastores[@]}"; do
        if [[ ! $name =~ ^[[:alnum:]][[:alnum:]._:+~-]*$ ]]; then
            die $LINENO "trove-tools: TROVE_GUEST_DATASTORES has '$name';" \
                "it takes NAME or NAME:VERSION, as mysql:8.4"
        fi
    done
    if [[ -n $TROVE_GUEST_IMAGE_URL ]]; then
        if [[ -z $TROVE_GUEST_IMAGE_SHA256 ]]; then
            die $LINENO "TROVE_GUEST_IMAGE_URL is set without a digest: set" \
                "TROVE_GUEST_IMAGE_SHA256 to the image's"
        fi
        if [[ ! $TROVE_GUEST_DATASTORES =~ ^[^[:space:]:]+:[^[:space:]:]+$ ]]; then
            die $LINENO "with TROVE_GUEST_IMAGE_URL, TROVE_GUEST_DATASTORES" \
                "is what is in that image, as mysql:8.4"
        fi
    fi
}

# install_trove_tools: install the commands into devstack's environment.
function install_trove_tools {
    setup_develop -bindep "$TROVE_TOOLS_DIR"
}

# check_trove_tools_variables: stop before any service is installed if a value
# in localrc cannot work.
function check_trove_tools_variables {
    local options=() load quota quotas datastores state
    state=$(_trove_tools_state)
    mkdir -p "$state"
    if [[ ! -O $state || -L $state ]]; then
        die $LINENO "trove-tools: $state belongs to another user: remove it"
    fi
    _trove_tools_settings >/dev/null
    _trove_tools_list quotas "$TROVE_GUEST_QUOTAS"
    for quota in "${quotas[@]}"; do
        options+=(--quota "$quota")
    done
    write_trove_guest_load_options
    mapfile -t load <"$(_trove_tools_state)/load-options"
    _trove_tools trove-devstack validate "${options[@]}" -- "${load[@]}" ||
        die $LINENO "trove-tools: TROVE_GUEST_QUOTAS or" \
            "TROVE_GUEST_LOAD_OPTIONS is not usable"
    if _trove_tools_builds; then
        write_trove_guest_build_options
        mapfile -t options <"$(_trove_tools_state)/build-options"
        _trove_tools_list datastores "$TROVE_GUEST_DATASTORES"
        _trove_tools trove-image-builder plan --format json \
            "${options[@]}" "${datastores[@]}" >/dev/null ||
            die $LINENO "trove-tools: the images cannot be built as the" \
                "variables TROVE_GUEST_... of localrc say"
    fi
}

# _trove_tools_settings: print Trove's settings for the datastores: file,
# section, option and value.
function _trove_tools_settings {
    local options=(--volumes) datastores sources source
    if ! is_service_enabled cinder; then
        options=(--no-volumes)
    fi
    if [[ -n $TROVE_GUEST_SYSTEM ]]; then
        options+=(--guest "$TROVE_GUEST_SYSTEM")
    fi
    _trove_tools_list sources "$TROVE_GUEST_CONTAINER_SOURCE"
    for source in "${sources[@]}"; do
        options+=(--container-source "$source")
    done
    _trove_tools_list datastores "$TROVE_GUEST_DATASTORES"
    _trove_tools trove-devstack settings "${options[@]}" "${datastores[@]}" ||
        die $LINENO "trove-tools: TROVE_GUEST_DATASTORES is not usable"
}

# write_trove_guest_build_options: write the options of the build into a file,
# one per line.  tools/renew-guest-agent reads this file, too, because it can
# reuse layers only with the same options.
function write_trove_guest_build_options {
    local state constraints=$TROVE_GUEST_CONSTRAINTS
    state=$(_trove_tools_state)
    mkdir -p -- "$TROVE_GUEST_IMAGE_DIR"
    if [[ -z $constraints && -d ${REQUIREMENTS_DIR:-/none}/.git ]]; then
        # use the committed file, because devstack edits the file at any time
        constraints=$state/upper-constraints.txt
        git -C "$REQUIREMENTS_DIR" show HEAD:upper-constraints.txt \
            >"$constraints"
    fi
    local options=(
        --output-dir "$TROVE_GUEST_IMAGE_DIR"
        --agent "$TROVE_GUEST_AGENT"
        ${constraints:+--constraints "$constraints"}
        ${TROVE_GUEST_DEV_KEY:+--dev "$TROVE_GUEST_DEV_KEY"}
        ${TROVE_GUEST_SYSTEM:+--guest "$TROVE_GUEST_SYSTEM"}
        ${TROVE_GUEST_RUNTIME:+--runtime "$TROVE_GUEST_RUNTIME"}
        ${TROVE_GUEST_CACHE_DIR:+--cache-dir "$TROVE_GUEST_CACHE_DIR"}
        ${TROVE_GUEST_IMAGE_FROM:+--image-from "$TROVE_GUEST_IMAGE_FROM"}
        ${TROVE_GUEST_REGISTRY_MIRROR:+--registry-mirror "$TROVE_GUEST_REGISTRY_MIRROR"}
        ${TROVE_GUEST_MIRROR:+--mirror "$TROVE_GUEST_MIRROR"}
        ${TROVE_GUEST_SECURITY_MIRROR:+--security-mirror "$TROVE_GUEST_SECURITY_MIRROR"}
    )
    local source sources words
    _trove_tools_list sources "$TROVE_GUEST_CONTAINER_SOURCE"
    for source in "${sources[@]}"; do
        options+=(--container-source "$source")
    done
    _trove_tools_list sources "$TROVE_GUEST_CACHE_FROM"
    for source in "${sources[@]}"; do
        options+=(--cache-from "$source")
    done
    if [[ $TROVE_GUEST_IMAGE_TOGETHER == True ]]; then
        options+=(--together)
    fi
    _trove_tools_split words "$TROVE_GUEST_BUILD_OPTIONS"
    printf '%s\n' "${options[@]}" "${words[@]}" >"$state/build-options"
}

# write_trove_guest_load_options: write the options of load-trove-image into a
# file, one per line.
function write_trove_guest_load_options {
    local options=() words
    # name the source of the running Trove: its checkout may be between two
    # releases and have the earlier number, by which its rules are not found
    if [[ -d ${TROVE_DIR:-/none}/trove/templates ]]; then
        options+=(--parameters "$TROVE_DIR")
    fi
    _trove_tools_split words "$TROVE_GUEST_LOAD_OPTIONS"
    options+=("${words[@]}")
    : >"$(_trove_tools_state)/load-options"
    if [[ ${#options[@]} -gt 0 ]]; then
        printf '%s\n' "${options[@]}" >"$(_trove_tools_state)/load-options"
    fi
}

# build_trove_guest_images: build all images.  async_run calls this function in
# parallel to devstack; a failure only sets the function's exit status.  The
# output of the build is in build.log, and its exit status in build.status.
function build_trove_guest_images {
    local xtrace
    xtrace=$(set +o | grep xtrace)
    set +o xtrace

    local state status=0 options datastores
    state=$(_trove_tools_state)
    mapfile -t options <"$state/build-options"
    _trove_tools_list datastores "$TROVE_GUEST_DATASTORES"
    # `unstack` ends the build whose process id is in this file
    "$(get_python_exec_prefix)/trove-image-builder" build --format json \
        --pid-file "$state/build.pid" "${options[@]}" "${datastores[@]}" \
        >"$state/built.json" 2>"$state/build.log" || status=$?
    rm -f "$state/build.pid"
    cat "$state/build.log" >&2
    echo $status >"$state/build.status"
    $xtrace
    return $status
}

# start_trove_guest_build: start the build of the images in the background.
function start_trove_guest_build {
    local state
    state=$(_trove_tools_state)
    # a build of an interrupted run would write to the same files
    stop_trove_guest_build
    rm -f "$state/build.log" "$state/build.status"
    async_runfunc build_trove_guest_images || _trove_tools_build_failed
}

# check_trove_guest_build: stop if the build has already failed.
function check_trove_guest_build {
    local status
    status=$(_trove_tools_state)/build.status
    if [[ -r $status && $(<"$status") != 0 ]]; then
        wait_trove_guest_build
    fi
}

# wait_trove_guest_build: wait for the build; stop if it fails.
function wait_trove_guest_build {
    async_wait build_trove_guest_images || _trove_tools_build_failed
}

# _trove_tools_build_failed: stop, and print the reason again, because
# async_wait has printed the whole log and the state of all devstack jobs.
function _trove_tools_build_failed {
    local log reason
    log=$(_trove_tools_state)/build.log
    # the part of the log that begins with the last error
    reason=$(sed -n '/^error: /h; //!H; $ {g; p;}' "$log" | tail -n 40) ||
        reason=
    die $LINENO "trove-tools: no guest image of $TROVE_GUEST_DATASTORES;" \
        "the build's messages are in $log, the last of them:" \
        $'\n'"$reason"
}

# stop_trove_guest_build: end a running build, and wait for its end.
function stop_trove_guest_build {
    local file pid
    file=$(_trove_tools_state)/build.pid
    if [[ ! -r $file ]]; then
        return 0
    fi
    pid=$(<"$file")
    # the process id may belong to another process by now
    if [[ ! $pid =~ ^[1-9][0-9]*$ || ! -O /proc/$pid ]]; then
        pid=none
    fi
    if grep -qs trove-image-builder "/proc/$pid/cmdline"; then
        echo "trove-tools: ending the image build $pid"
        kill "$pid" || true
        timeout 300 tail --pid="$pid" -f /dev/null || true
    fi
    rm -f "$file"
}

# configure_trove_tools: write Trove's settings for the datastores.
function configure_trove_tools {
    local settings file section option value
    settings=$(_trove_tools_settings)
    while read -r file section option value; do
        case $file in
            TROVE_CONF) file=$TROVE_CONF ;;
            TROVE_GUESTAGENT_CONF) file=$TROVE_GUESTAGENT_CONF ;;
            "") continue ;;
            *) die $LINENO "trove-tools: there is no file $file of Trove's" ;;
        esac
        iniset "$file" "$section" "$option" "$value"
    done <<<"$settings"

    iniset "$TROVE_CONF" DEFAULT usage_timeout "$TROVE_USAGE_TIMEOUT"
    iniset "$TROVE_CONF" DEFAULT resize_time_out "$TROVE_RESIZE_TIME_OUT"
    for file in "$TROVE_CONF" "$TROVE_GUESTAGENT_CONF"; do
        iniset "$file" DEFAULT state_change_wait_time \
            "$TROVE_STATE_CHANGE_WAIT_TIME"
        iniset "$file" DEFAULT command_process_timeout \
            "$TROVE_COMMAND_PROCESS_TIMEOUT"
    done
    iniset "$TROVE_CONF" DEFAULT max_instances_per_tenant \
        "$TROVE_MAX_INSTANCES_PER_TENANT"
    iniset "$TROVE_CONF" DEFAULT max_volumes_per_tenant \
        "$TROVE_MAX_VOLUMES_PER_TENANT"
    iniset "$TROVE_CONF" network network_isolation \
        "$TROVE_GUEST_NETWORK_ISOLATION"
}

# prepare_trove_tools: create flavors, raise quotas, and check that the
# services answer.
function prepare_trove_tools {
    local options=() quota quotas
    if ! is_service_enabled n-api; then
        options+=(--no-flavors)
    else
        if [[ $TROVE_GUEST_TEST_FLAVORS == False ]]; then
            options+=(--no-flavors)
        fi
        _trove_tools_list quotas "$TROVE_GUEST_QUOTAS"
        for quota in "${quotas[@]}"; do
            options+=(--quota "$quota")
        done
    fi
    _trove_tools trove-devstack prepare --os-cloud $_TROVE_TOOLS_ADMIN \
        --user-cloud $_TROVE_TOOLS_USER \
        --service-project "$SERVICE_PROJECT_NAME" "${options[@]}" ||
        die $LINENO "trove-tools: the cloud is not ready for Trove's tests"
}

# load_trove_guest_images: load the images, and make the first version of each
# datastore its default.  The array _TROVE_TOOLS_ACTIVE then contains these
# versions; test-config needs at least one.
function load_trove_guest_images {
    local step what image steps options versions
    local images=() defaults=()
    _TROVE_TOOLS_ACTIVE=()
    mapfile -t options <"$(_trove_tools_state)/load-options"
    if [[ -n $TROVE_GUEST_IMAGE_URL ]]; then
        what=$TROVE_GUEST_DATASTORES
        defaults=(
            --datastore "${what%%:*}" --version "${what#*:}"
            --sha256 "$TROVE_GUEST_IMAGE_SHA256" "$TROVE_GUEST_IMAGE_URL"
        )
        _TROVE_TOOLS_ACTIVE=("$what")
    else
        wait_trove_guest_build
        steps=$(_trove_tools trove-devstack images \
            "$(_trove_tools_state)/built.json") ||
            die $LINENO "trove-tools: the build did not say what it built"
        while read -r step what image; do
            case $step in
                activate)
                    defaults+=("$image")
                    _trove_tools_list versions "$what"
                    _TROVE_TOOLS_ACTIVE+=("${versions[@]}")
                    ;;
                load) images+=("$image") ;;
                keep) echo_summary "No manager in this Trove for $what $image" ;;
            esac
        done <<<"$steps"
    fi
    if [[ ${#defaults[@]} -gt 0 ]]; then
        _trove_tools load-trove-image --os-cloud $_TROVE_TOOLS_SERVICE \
            --activate "${options[@]}" "${defaults[@]}" ||
            die $LINENO "trove-tools: a guest image could not be loaded"
    fi
    if [[ ${#images[@]} -gt 0 ]]; then
        _trove_tools load-trove-image --os-cloud $_TROVE_TOOLS_SERVICE \
            "${options[@]}" "${images[@]}" ||
            die $LINENO "trove-tools: a guest image could not be loaded"
    fi
    if [[ ${#_TROVE_TOOLS_ACTIVE[@]} -gt 0 ]]; then
        _trove_tools trove-devstack check --os-cloud $_TROVE_TOOLS_USER \
            "${_TROVE_TOOLS_ACTIVE[@]}" ||
            die $LINENO "trove-tools: a user cannot have what was loaded"
    fi
}

# configure_tempest_trove_tools: write the settings of trove-tempest-plugin.
function configure_tempest_trove_tools {
    local settings section option value
    settings=$(_trove_tools trove-devstack tempest \
        --os-cloud $_TROVE_TOOLS_ADMIN --network "$PRIVATE_NETWORK_NAME" \
        --build-timeout "$TROVE_USAGE_TIMEOUT") ||
        die $LINENO "trove-tools: tempest could not be configured"
    while read -r section option value; do
        iniset "$TEMPEST_CONFIG" "$section" "$option" "$value"
    done <<<"$settings"
}

# cleanup_trove_tools: remove the files of this plugin.  If TROVE_GUEST_CLEAN
# is True, also remove the cache and the images that have a manifest; otherwise
# they are kept for the next run.
function cleanup_trove_tools {
    local beside
    rm -rf "$(_trove_tools_state)"
    if [[ $TROVE_GUEST_CLEAN == False ]]; then
        return
    fi
    _trove_tools trove-image-builder cache prune --cache-size 0 --quiet \
        ${TROVE_GUEST_CACHE_DIR:+--cache-dir "$TROVE_GUEST_CACHE_DIR"} ||
        warn $LINENO "trove-tools: the cache of layers could not be emptied" ||
        true
    if [[ -d $TROVE_GUEST_IMAGE_DIR ]]; then
        for beside in "$TROVE_GUEST_IMAGE_DIR"/*.d; do
            if [[ -f $beside/manifest.json ]]; then
                rm -rf -- "$beside" "${beside%.d}".{qcow2,raw,tar}
            fi
        done
        rmdir --ignore-fail-on-non-empty -- "$TROVE_GUEST_IMAGE_DIR"
    fi
}

if [[ "${1:-} ${2:-}" == "stack pre-install" ]]; then
    check_trove_tools
fi

if is_service_enabled trove; then
    case "${1:-} ${2:-}" in
        "stack pre-install")
            echo_summary "Installing trove-tools"
            install_trove_tools
            check_trove_tools_variables
            if _trove_tools_builds; then
                start_trove_guest_build
            fi
            ;;
        "stack install")
            check_trove_guest_build
            ;;
        "stack post-config")
            check_trove_guest_build
            echo_summary "Configuring Trove for its guest images"
            configure_trove_tools
            ;;
        "stack extra")
            check_trove_guest_build
            echo_summary "Preparing flavors and quotas for Trove"
            prepare_trove_tools
            if _trove_tools_loads; then
                echo_summary "Loading Trove's guest images"
                load_trove_guest_images
            fi
            ;;
        "stack test-config")
            # an image without a manager in this Trove provides no datastore
            if is_service_enabled tempest &&
                [[ -n ${_TROVE_TOOLS_ACTIVE[0]:-} ]]; then
                echo_summary "Configuring Tempest for the datastores"
                configure_tempest_trove_tools
            fi
            ;;
    esac
fi

case "${1:-}" in
    unstack) stop_trove_guest_build ;;
    clean) cleanup_trove_tools ;;
esac

$_XTRACE_TROVE_TOOLS
