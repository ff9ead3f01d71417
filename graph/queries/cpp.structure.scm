; Definitions, documentation, inclusions and the types of variables. Captures: see backstory/graph/parse.py.
; A prototype is no definition: what it promises is defined elsewhere. A pure virtual function is one, for that is all there is of it.

((function_definition declarator: (function_declarator declarator: (identifier) @name) body: (_) @body) @function
  (#not-match? @name "^(TYPED_)?TEST(_F|_P)?$"))
(function_definition declarator: (function_declarator declarator: [
  (field_identifier) (qualified_identifier) (destructor_name) (operator_name) (template_function)] @name) body: (_) @body) @function
(function_definition declarator: (pointer_declarator declarator: (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier) (destructor_name) (operator_name)] @name)) body: (_) @body) @function
(function_definition declarator: (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier) (destructor_name) (operator_name)] @name)))
  body: (_) @body) @function
(function_definition declarator: (reference_declarator (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier) (destructor_name) (operator_name)] @name)) body: (_) @body) @function
(function_definition declarator: (operator_cast) @name body: (_) @body) @function
(field_declaration declarator: (function_declarator declarator: (field_identifier) @name) default_value: (number_literal)) @function
(field_declaration declarator: (pointer_declarator declarator: (function_declarator declarator: (field_identifier) @name))
  default_value: (number_literal)) @function
(field_declaration declarator: (reference_declarator (function_declarator declarator: (field_identifier) @name))
  default_value: (number_literal)) @function
; Tests of GoogleTest: `TEST_F(Fixture, Name) { ... }` is a method of its fixture.
((function_definition declarator: (function_declarator declarator: (identifier) @macro parameters: (parameter_list
    . (parameter_declaration type: (type_identifier) @owner) . (parameter_declaration type: (type_identifier) @name) .)) body: (_) @body) @function
  (#match? @macro "^(TYPED_)?TEST(_F|_P)?$"))
(preproc_function_def name: (identifier) @name value: (_) @body) @function
(class_specifier name: [(type_identifier) (template_type) (qualified_identifier)] @name body: (_) @body) @class
(struct_specifier name: [(type_identifier) (template_type) (qualified_identifier)] @name body: (_) @body) @class
(union_specifier name: (type_identifier) @name body: (_) @body) @class
(enum_specifier name: (type_identifier) @name body: (_) @body) @class
(type_definition type: [(struct_specifier !name body: (_) @body) (union_specifier !name body: (_) @body) (enum_specifier !name body: (_) @body)]
  declarator: (type_identifier) @name) @class
(namespace_definition name: (_) @name body: (_)) @space
(template_declaration [(class_specifier) (struct_specifier) (function_definition)] @wrapped) @wrapper

((function_definition (storage_class_specifier) @static) @hidden (#eq? @static "static"))
(namespace_definition !name body: (declaration_list [(function_definition) (class_specifier) (struct_specifier) (enum_specifier)] @hidden))

((comment) @doc)

(preproc_include path: (string_literal (string_content) @import.module)) @import
(preproc_include path: (system_lib_string) @import.module) @import
(using_declaration "namespace" [(identifier) (qualified_identifier)] @import.module) @import.star @import
(using_declaration . "using" . (qualified_identifier scope: (_) @import.module name: (identifier) @import.name)) @import
(using_declaration . "using" . (qualified_identifier scope: (_) @import.module
  name: (qualified_identifier scope: (_) @import.module name: (identifier) @import.name))) @import
(namespace_alias_definition name: (_) @import.alias (_) @import.name) @import
(alias_declaration name: (type_identifier) @import.alias type: (type_descriptor type: (_) @import.name)) @import

(field_declaration type: (_) @type declarator: [
  (field_identifier) @typed.own
  (pointer_declarator declarator: (field_identifier) @typed.own)
  (reference_declarator (field_identifier) @typed.own)])
(parameter_declaration type: (_) @type declarator: [
  (identifier) @typed
  (pointer_declarator declarator: (identifier) @typed)
  (pointer_declarator declarator: (pointer_declarator declarator: (identifier) @typed))
  (reference_declarator (identifier) @typed)])
(declaration type: (_) @type declarator: [
  (identifier) @typed
  (pointer_declarator declarator: (identifier) @typed)
  (reference_declarator (identifier) @typed)
  (init_declarator declarator: (identifier) @typed)
  (init_declarator declarator: (pointer_declarator declarator: (identifier) @typed))
  (init_declarator declarator: (reference_declarator (identifier) @typed))])
(for_range_loop type: (_) @type declarator: [(identifier) @typed (reference_declarator (identifier) @typed) (pointer_declarator (identifier) @typed)])
(declaration type: (placeholder_type_specifier) declarator: (init_declarator
  declarator: [(identifier) @typed (pointer_declarator declarator: (identifier) @typed)] value: (new_expression type: (_) @type)))
(declaration type: (placeholder_type_specifier) declarator: (init_declarator
  declarator: [(identifier) @typed (pointer_declarator declarator: (identifier) @typed) (reference_declarator (identifier) @typed)]
  value: (call_expression function: (_) @made)))
((declaration type: (placeholder_type_specifier) declarator: (init_declarator declarator: (identifier) @typed value: (call_expression
  function: (qualified_identifier name: (template_function name: (_) @maker arguments: (template_argument_list . (type_descriptor) @type))))))
  (#match? @maker "^make_(unique|shared)$"))
(function_definition type: (_) @type declarator: [
  (function_declarator declarator: (_) @returns)
  (pointer_declarator declarator: (function_declarator declarator: (_) @returns))
  (reference_declarator (function_declarator declarator: (_) @returns))])
(field_declaration type: (_) @type declarator: [
  (function_declarator declarator: (field_identifier) @returns)
  (pointer_declarator declarator: (function_declarator declarator: (field_identifier) @returns))
  (reference_declarator (function_declarator declarator: (field_identifier) @returns))] default_value: (number_literal))
