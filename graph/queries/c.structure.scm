; Definitions, documentation, inclusions and the types of variables. Captures: see backstory/graph/parse.py.
; A prototype is no definition: what it promises is defined elsewhere, and the linker leads a call there.

(function_definition declarator: (function_declarator declarator: (identifier) @name) body: (_) @body) @function
(function_definition declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name)) body: (_) @body) @function
(function_definition declarator: (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))) body: (_) @body) @function
(function_definition declarator: (function_declarator declarator: (parenthesized_declarator
  (pointer_declarator declarator: (function_declarator declarator: (identifier) @name)))) body: (_) @body) @function
(preproc_function_def name: (identifier) @name value: (_) @body) @function
(struct_specifier name: (type_identifier) @name body: (_) @body) @class
(union_specifier name: (type_identifier) @name body: (_) @body) @class
(enum_specifier name: (type_identifier) @name body: (_) @body) @class
(type_definition type: [(struct_specifier !name body: (_) @body) (union_specifier !name body: (_) @body) (enum_specifier !name body: (_) @body)]
  declarator: (type_identifier) @name) @class

((function_definition (storage_class_specifier) @static) @hidden (#eq? @static "static"))

((comment) @doc)

(preproc_include path: (string_literal (string_content) @import.module)) @import
(preproc_include path: (system_lib_string) @import.module) @import

(field_declaration type: (_) @type declarator: [
  (field_identifier) @typed.own
  (pointer_declarator declarator: (field_identifier) @typed.own)])
(parameter_declaration type: (_) @type declarator: [
  (identifier) @typed
  (pointer_declarator declarator: (identifier) @typed)
  (pointer_declarator declarator: (pointer_declarator declarator: (identifier) @typed))])
(declaration type: (_) @type declarator: [
  (identifier) @typed
  (pointer_declarator declarator: (identifier) @typed)
  (init_declarator declarator: (identifier) @typed)
  (init_declarator declarator: (pointer_declarator declarator: (identifier) @typed))])
(function_definition type: (_) @type declarator: [
  (function_declarator declarator: (identifier) @returns)
  (pointer_declarator declarator: (function_declarator declarator: (identifier) @returns))])
