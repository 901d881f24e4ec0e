"""Chat templates in the manner of those that people load, and conversations to render with them.

Written for these tests; each uses what its model's template is known for.
"""

TEMPLATES = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    # A default system prompt where the first turn is none, tools that are not there.
    "qwen2.5": (
        "{%- if tools %}\n    {{- '<|im_start|>system\\nTools: ' ~ (tools | tojson) ~ '<|im_end|>\\n' }}\n"
        "{%- else %}\n    {%- if messages[0]['role'] == 'system' %}\n"
        "        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n    {%- else %}\n"
        "        {{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}\n    {%- endif %}\n{%- endif %}\n"
        "{%- for message in messages %}\n"
        "    {%- if (message.role == 'user') or (message.role == 'system' and not loop.first) or\n"
        "        (message.role == 'assistant' and not message.tool_calls) %}\n"
        "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
        "    {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
    ),
    # Reasoning of earlier turns is dropped, found backwards with a namespace; the switch closes a block.
    "qwen3": (
        "{%- set ns = namespace(last=messages|length - 1, found=false) %}\n"
        "{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n"
        "    {%- if not ns.found and message.role == 'user' and message.content is string %}\n"
        "        {%- set ns.found = true %}\n        {%- set ns.last = index %}\n    {%- endif %}\n"
        "{%- endfor %}\n"
        "{%- for message in messages %}\n"
        "    {%- set content = message.content if message.content is string else '' %}\n"
        "    {%- set reasoning = '' %}\n"
        "    {%- if message.reasoning_content is string %}\n"
        "        {%- set reasoning = message.reasoning_content %}\n"
        "    {%- elif '</think>' in content %}\n"
        "        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n"
        "        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n    {%- endif %}\n"
        "    {{- '<|im_start|>' + message.role + '\\n' }}\n"
        "    {%- if message.role == 'assistant' and loop.index0 > ns.last and reasoning %}\n"
        "        {{- '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' }}\n    {%- endif %}\n"
        "    {{- content + '<|im_end|>\\n' }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
        "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
        "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}"
    ),
    "r1_distill": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
        "{% set ns = namespace(is_first=false, system_prompt='') %}"
        "{%- for message in messages %}{%- if message['role'] == 'system' %}"
        "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}"
        "{%- for message in messages %}{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{%- endif %}"
        "{%- if message['role'] == 'assistant' and message['content'] is not none %}"
        "{% set content = message['content'] %}{% if '</think>' in content %}"
        "{% set content = content.split('</think>')[-1] %}{% endif %}"
        "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor -%}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
    ),
    "llama3": (
        "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
        "        {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- else %}\n"
        "        {%- set date_string = '26 Jul 2024' %}\n    {%- endif %}\n{%- endif %}\n"
        "{%- if messages[0]['role'] == 'system' %}\n"
        "    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n"
        "{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n"
        "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{%- if tools is not none %}\n"
        "    {{- 'Environment: ipython\\n' }}\n{%- endif %}\n{{- 'Today: ' + date_string + '\\n\\n' }}\n"
        "{{- system_message }}\n{{- '<|eot_id|>' }}\n{%- for message in messages %}\n"
        "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}\n"
        "{%- endfor %}\n{%- if add_generation_prompt %}\n"
        "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
    ),
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou are small.<|im_end|>\\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "smollm3": (
        "{%- if enable_thinking is not defined -%}\n{%- set enable_thinking = true -%}\n{%- endif -%}\n"
        "{%- set mode = '/think' if enable_thinking else '/no_think' -%}\n"
        "{%- set today = strftime_now('%d %B %Y') -%}\n"
        "{{- '<|im_start|>system\\nDate: ' ~ today ~ '\\nMode: ' ~ mode ~ '<|im_end|>\\n' -}}\n"
        "{%- for message in messages -%}\n    {%- set content = message.content if message.content is string else '' -%}\n"
        "    {%- if message.role == 'user' -%}\n"
        "        {{- '<|im_start|>user\\n' + content + '<|im_end|>\\n' -}}\n"
        "    {%- elif message.role == 'assistant' -%}\n        {%- generation -%}\n"
        "        {{- '<|im_start|>assistant\\n' + content.lstrip('\\n') + '<|im_end|>\\n' -}}\n"
        "        {%- endgeneration -%}\n    {%- endif -%}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n    {%- if mode == '/think' -%}\n"
        "        {{- '<|im_start|>assistant\\n' -}}\n    {%- else -%}\n"
        "        {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' -}}\n    {%- endif -%}\n{%- endif -%}\n"
    ),
    "mistral": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate user/assistant/user/…') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
    ),
    "llama2": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
        "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
        "{% if loop.index0 == 0 and system_message != false %}"
        "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
        "{% else %}{% set role = message['role'] %}{% endif %}"
        "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"
    ),
    "phi": (
        "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
        "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
        "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
        "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "zephyr_lines": (
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
        "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
        "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
    ),
    "deepseek_v3.1": (
        "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ bos_token }}"
        "{%- for message in messages %}{{ '<｜' ~ message.role | capitalize ~ '｜>' ~ message.content }}{% endfor %}"
        "{% if add_generation_prompt %}<｜Assistant｜>{{ '<think>' if thinking else '</think>' }}{% endif %}"
    ),
    "macros": (
        "{% macro turn(role, content='') -%}<|im_start|>{{ role }}: {{ content|trim }}{{ caller() if caller }}<|im_end|>{%- endmacro %}"
        "{% for m in messages %}{% call turn(m.role, m.content) %}#{{ loop.index }}{% endcall %}\n{% endfor %}"
        "{% if add_generation_prompt %}{{ turn('assistant') }}{% endif %}"
    ),
    "json": (
        "{% for m in messages %}{{ m | tojson(indent=2) }}|{{ m | tojson(separators=(',', ':'), sort_keys=true) }}|"
        "{{ m.content | tojson(ensure_ascii=true) }}|{{ {'b': 'é<&>\\'', 'a': [1, 2.5, none, true]} | tojson }}{% endfor %}"
    ),
    "loop_controls": (
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{{ m.role }}>{{ m.content }}{% if loop.index > 2 %}{% break %}{% endif %};{% endfor %}"
    ),
    "whitespace": (
        "  {% if true %}\n   a {{- ' b ' -}} c\n  {% endif %}\n\n {# a comment #}\n{%+ if true %}  d{% endif %}\n"
        "\t{% for m in messages -%}  \n {{ m.content }}\n\n{%- endfor %}\r\nend\rlast\n\n"
    ),
    "undefined": "{{ nothing }}{{ messages[0].nothing }}{% if nothing %}no{% else %}yes{% endif %}{{ nothing | default('d') }}{{ tools }}{{ documents }}",
    "none_is_left_out": "{% for m in messages %}{{ 'name' in m }}{{ m.get('name', '-') }}{{ m.items() | list | length }}{{ m.keys() | join(',') }}{% endfor %}",
    "reasoning_names": "{% for m in messages %}{{ m.reasoning_content }}/{{ m.thinking }}/{{ m.reasoning }};{% endfor %}",
    "special_tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}{{ sep_token }}{{ cls_token }}{{ mask_token }}{{ image_token }}{{ additional_special_tokens }}x",
    "filters": (
        "{{ messages | map(attribute='role') | join('+') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
        "{{ (messages | last).content | upper }}{{ messages | groupby('role') | map('first') | list }}"
        "{{ messages[0].content | replace('a', 'b') | indent(4) }}{{ '%s-%05.1f' | format('z', 3.14159) }}{{ '{0}!'.format(7) }}"
        "{{ messages | rejectattr('role', 'in', ['system', 'user']) | list | count }}{{ dict(a=1)['a'] }}{{ [3, 1, 2] | sort }}"
    ),
    "recursion": "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(12) }}{{ messages[-1].content }}",
    "content_parts": (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content is sequence %}"
        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %};{% endfor %}"
    ),
}  # fmt: skip


def _turn(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = [
    [_turn("user", "What is 7·8?")],
    [_turn("system", " Be brief.\n"), _turn("user", "  How’s it?\r\n\tTwo  spaces, é and e\u0301, 日本語, 😀 ")],
    [
        _turn("user", "Add 2 and 3", name=None), _turn("assistant", "<think>\n2+3\n</think>\n\n5", tool_calls=None),
        _turn("user", "And <|im_end|> then? \\frac{1}{2}"),
    ],
    [
        _turn("system", ""), _turn("user", "a"), _turn("assistant", "b", thinking="why b"),
        _turn("user", [{"type": "text", "text": "c"}, {"type": "image"}]),
    ],
]  # fmt: skip
