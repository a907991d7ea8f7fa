{
  "variables": { "sanitize%": 0, "strict%": 0 },
  "targets": [
    {
      "target_name": "virtio_media_bridge",
      "sources": [
        "addon/module.cc",
        "addon/arguments.cc",
        "addon/failure.cc",
        "addon/socket.cc",
        "addon/datagram.cc",
        "addon/account.cc",
        "addon/privileges.cc",
        "addon/event_fd.cc",
        "addon/memory_file.cc",
        "addon/cut_memory.cc",
        "addon/mapping.cc",
        "addon/region.cc",
        "addon/window_list.cc",
        "addon/linear_mapping.cc",
        "addon/guest_table.cc",
        "addon/guest_memory.cc",
        "addon/chain_walk.cc",
        "addon/split_ring.cc",
        "addon/buffer_record.cc",
        "addon/frame_plan.cc",
        "addon/flat_command.cc",
        "addon/command_table.cc",
        "addon/ring_threads.cc",
        "addon/plan_reader.cc",
        "addon/ring_leader.cc",
        "addon/ring_service.cc",
        "addon/ring_numbers.cc",
        "addon/ring.cc",
        "addon/callback.cc",
        "addon/fd_poller.cc",
        "addon/thread.cc",
        "addon/loop_turn.cc",
        "addon/loop_wake.cc",
        "addon/node_watcher.cc",
        "addon/open_node.cc",
        "addon/node_lane.cc",
        "addon/call_reader.cc",
        "addon/node_call.cc",
        "addon/node_file.cc",
        "addon/v4l2_request.cc",
        "addon/v4l2_buffer.cc",
        "addon/v4l2_control.cc",
        "addon/v4l2_edid.cc",
        "addon/v4l2_event.cc",
        "addon/media_request.cc",
        "addon/v4l2_layout.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=9",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++20",
        "-fno-exceptions",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra"
      ],
      "ldflags": ["-Wl,-z,nodelete"],
      "conditions": [
        # In a checkout only: another compiler than ours may know more warnings.
        ["strict==1", { "cflags_cc": ["-Werror"] }],
        ["sanitize==1", {
          "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
